package plan

import "fmt"

// Mistake is what is wrong with a desired state.
type Mistake struct{ Object, Reason string }

func (m *Mistake) Error() string { return m.Object + ": " + m.Reason }

func mistake(object, format string, args ...any) error {
	return &Mistake{object, fmt.Sprintf(format, args...)}
}
