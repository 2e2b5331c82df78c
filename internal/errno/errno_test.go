package errno_test

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/errno"
)

func TestNameParsesBackForEveryNumber(t *testing.T) {
	for n := range 1 << 16 {
		e := errno.Errno(n)
		got, err := errno.Parse(e.Name())
		require.NoError(t, err, "%d", n)
		require.Equal(t, e, got)
	}
	_, err := errno.Parse("EWHATEVER")
	assert.ErrorContains(t, err, `"EWHATEVER"`)
	for _, bad := range []string{"errno(", "errno()", "errno(70000)", "errno(-1)", "errno(1", " EINVAL"} {
		_, err := errno.Parse(bad)
		assert.Error(t, err, bad)
	}
}

func TestNumbersAndTextsAreLinuxOnes(t *testing.T) {
	assert.Equal(t, "ENETUNREACH", errno.ENETUNREACH.Name())
	assert.Equal(t, "Network is unreachable", errno.ENETUNREACH.Error())
	assert.Equal(t, "No route to host", errno.EHOSTUNREACH.Error())
	assert.Equal(t, "Unknown error 200", errno.Errno(200).Error())
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("numbers are compared with package syscall on linux/amd64 only")
	}
	for n := 1; n < 200; n++ {
		e := errno.Errno(n)
		if e.Name()[0] == 'E' {
			assert.ErrorIs(t, e, syscall.Errno(n), e.Name())
		}
	}
}

func TestIsFindsTheSystemsConstant(t *testing.T) {
	wrapped := fmt.Errorf("rule add: %w", errno.EEXIST)
	assert.ErrorIs(t, wrapped, syscall.EEXIST)
	assert.ErrorIs(t, wrapped, errno.EEXIST)
	assert.ErrorIs(t, wrapped, fs.ErrExist)
	assert.NotErrorIs(t, wrapped, syscall.ENOENT)
	assert.ErrorIs(t, errno.ENOENT, fs.ErrNotExist)
	assert.NotErrorIs(t, errno.ESRCH, fs.ErrNotExist)
	assert.ErrorIs(t, errno.EACCES, fs.ErrPermission)
	assert.ErrorIs(t, errno.EPERM, fs.ErrPermission)
	assert.ErrorIs(t, errno.EOPNOTSUPP, errors.ErrUnsupported)
	assert.NotErrorIs(t, errno.Errno(200), syscall.Errno(200))
	assert.NotErrorIs(t, errno.Errno(0), syscall.Errno(0))
}

func TestOfTranslates(t *testing.T) {
	for _, err := range []error{errno.ENETUNREACH, syscall.ENETUNREACH, fmt.Errorf("x: %w", syscall.ENETUNREACH)} {
		got, ok := errno.Of(err)
		assert.True(t, ok)
		assert.Equal(t, errno.ENETUNREACH, got)
	}
	for _, err := range []error{nil, errors.New("x"), syscall.Errno(0xfff0)} {
		_, ok := errno.Of(err)
		assert.False(t, ok, "%v", err)
	}
}

func TestTextRoundTrip(t *testing.T) {
	text, err := errno.ENODEV.MarshalText()
	require.NoError(t, err)
	assert.Equal(t, "ENODEV", string(text))
	e := errno.EPERM
	require.NoError(t, e.UnmarshalText(text))
	assert.Equal(t, errno.ENODEV, e)
	require.Error(t, e.UnmarshalText([]byte("nonsense")))
	assert.Equal(t, errno.ENODEV, e, "a failed parse must not change the value")
}
