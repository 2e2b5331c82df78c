package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/netnstest"
)

// asCommand makes the test binary be the command itself.
const asCommand = "FIBULA_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process prepares the command as a process of its own.
func process(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	return cmd, &stderr
}

func TestReaderOfPipeGoesAway(t *testing.T) {
	cmd, stderr := process(t, "get", "--state", routerState, "--batch", "-")
	cmd.Stdin = strings.NewReader(strings.Repeat("192.0.2.1\n", 200_000))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReaderSize(out, 16).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "192.0.2.1 via ")
	require.NoError(t, out.Close())
	_ = cmd.Wait() // ends by the signal, which the state tells
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	assert.True(t, status.Signaled() && status.Signal() == syscall.SIGPIPE, "%v", cmd.ProcessState)
	assert.Empty(t, stderr.String(), "as other commands in a pipe: silence")
}

func TestStateFromStandardInput(t *testing.T) {
	state, err := os.ReadFile(routerState)
	require.NoError(t, err)
	cmd, stderr := process(t, "get", "192.0.2.1", "--state", "-")
	cmd.Stdin = bytes.NewReader(state) // through a pipe
	out, err := cmd.Output()
	require.NoError(t, err, stderr)
	assert.Equal(t, fibula(t, "", "get", "192.0.2.1", "--state", routerState).stdout, string(out))
}

func TestInterruptEndsTheDemoAndItsNamespace(t *testing.T) {
	netnstest.Require(t)
	cmd, stderr := process(t, "demo")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	r := bufio.NewReader(out)
	for said := ""; !strings.Contains(said, "network namespace"); {
		said, err = r.ReadString('\n')
		require.NoError(t, err)
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	_ = cmd.Wait() // the state tells
	assert.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode(), "%s%s", rest, stderr)
	assert.Equal(t, "fibula: interrupted\n", stderr.String())
}
