package backendtest

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// fakeT is a test that may fail without failing the test that it is part of. It is a testing.TB by embedding the real
// one; what a test does to itself it does to the fake.
type fakeT struct {
	testing.TB
	real *testing.T
	name string
	all  *verdicts

	mu       sync.Mutex
	skipped  bool
	failed   bool
	cleanups []func()
}

// verdicts are the messages of the tests that failed, by name.
type verdicts struct {
	mu     sync.Mutex
	failed map[string][]string
	passed int
}

func (v *verdicts) add(name, message string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failed == nil {
		v.failed = make(map[string][]string)
	}
	v.failed[name] = append(v.failed[name], message)
}

func (f *fakeT) sub(name string, test func(tester)) {
	child := &fakeT{TB: f.TB, real: f.real, name: f.name + "/" + name, all: f.all}
	child.run(func() { test(child) })
	if !child.failed && !child.skipped {
		f.all.mu.Lock()
		f.all.passed++
		f.all.mu.Unlock()
	}
}

// run calls test and then the cleanups, each where FailNow may end it.
func (f *fakeT) run(test func()) {
	call := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	call(test)
	for len(f.cleanups) > 0 {
		last := f.cleanups[len(f.cleanups)-1]
		f.cleanups = f.cleanups[:len(f.cleanups)-1]
		call(last)
	}
}

func (f *fakeT) bubble(test func(tester)) {
	err := inBubble(f.real, func(t *testing.T) {
		inner := &fakeT{TB: t, real: t, name: f.name, all: f.all}
		inner.run(func() { test(inner) })
		f.failed, f.skipped = inner.failed, inner.skipped
	})
	if err != nil {
		f.Errorf("%v", err)
	}
}

func (f *fakeT) Name() string         { return f.name }
func (f *fakeT) Helper()              {}
func (f *fakeT) Log(...any)           {}
func (f *fakeT) Logf(string, ...any)  {}
func (f *fakeT) Error(args ...any)    { f.fail(fmt.Sprint(args...)) }
func (f *fakeT) Fatal(args ...any)    { f.fail(fmt.Sprint(args...)); runtime.Goexit() }
func (f *fakeT) Fail()                { f.fail("Fail") }
func (f *fakeT) FailNow()             { f.fail("FailNow"); runtime.Goexit() }
func (f *fakeT) Skip(...any)          { f.SkipNow() }
func (f *fakeT) Skipf(string, ...any) { f.SkipNow() }

func (f *fakeT) Errorf(format string, args ...any) { f.fail(fmt.Sprintf(format, args...)) }

func (f *fakeT) Fatalf(format string, args ...any) {
	f.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (f *fakeT) SkipNow() {
	f.mu.Lock()
	f.skipped = true
	f.mu.Unlock()
	runtime.Goexit()
}

func (f *fakeT) fail(message string) {
	f.mu.Lock()
	f.failed = true
	f.mu.Unlock()
	f.all.add(f.name, message)
}

func (f *fakeT) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

func (f *fakeT) Skipped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.skipped
}

func (f *fakeT) Cleanup(c func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cleanups = append(f.cleanups, c)
}
