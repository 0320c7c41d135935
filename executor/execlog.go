package executor

import (
	"errors"
	"os"

	"gorules/executor/event"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/journal"
	"gorules/executor/internal/resume"
)

// execLog is the file of --execution_log_json_file; nil where none is wanted. It
// is open before anything runs: who cannot get the log does not wait for a build
// to learn that, and a command that breaks off leaves no older one behind.
type execLog struct {
	file *os.File
	sink event.Sink
	err  error // of the first write that failed
}

func (e *Engine) openLog() (*execLog, error) {
	if e.opt.ExecutionLog == "" {
		return nil, nil
	}
	f, err := os.OpenFile(e.opt.ExecutionLog, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, logError(exit.BadCommandLine, err) // Bazel's code for this one
	}
	return &execLog{file: f, sink: e.opt.Sink}, nil
}

func logError(k exit.Kind, err error) error {
	return exit.New(k, "--execution_log_json_file: %w", err)
}

func (l *execLog) write(entries []*journal.Entry) {
	if l != nil && l.err == nil {
		l.err = journal.WriteLog(l.file, entries)
	}
}

// replay writes the log of a command that does nothing; false if what it would
// say is not known.
func (l *execLog) replay(m *resume.Memory, key string) bool {
	if l == nil {
		return true
	}
	entries, ok := m.Journal(key)
	if ok {
		l.write(resume.Replayed(entries))
	}
	return ok
}

// close returns how the command ends that would end with err: well only if the
// log is all there.
func (l *execLog) close(err error) error {
	if l == nil {
		return err
	}
	lost := errors.Join(l.err, l.file.Close())
	switch {
	case lost == nil:
		return err
	case err == nil:
		return logError(exit.Environment, lost)
	}
	l.sink(event.Diagnostic{Severity: event.Error, Text: logError(exit.Environment, lost).Error()})
	return err
}
