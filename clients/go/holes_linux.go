package hostler

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// seekData is SEEK_DATA of lseek(2).
const seekData = 3

// nextData is where the next data of a file begins, from position on: holes of a filesystem that
// tells them are zeros which need not be read.
func nextData(file *os.File, position, length int64) (int64, error) {
	found, err := file.Seek(position, seekData)
	switch {
	case err == nil:
		return min(found, length), nil
	case errors.Is(err, syscall.ENXIO):
		return length, nil
	case errors.Is(err, syscall.EINVAL), errors.Is(err, errors.ErrUnsupported):
		return position, nil // it does not tell
	default:
		return 0, err
	}
}

// allocatedBytes is the space that a file occupies, at most its length.
func allocatedBytes(info fs.FileInfo) uint64 {
	length := uint64(info.Size())
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(uint64(system.Blocks)*512, length)
	}
	return length
}
