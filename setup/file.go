package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxFile is the size, in bytes, above which a file is not taken for a
// configuration.
const maxFile = 64 << 20

// FileError says in one sentence what is wrong with a file. Nothing was changed
// when it is returned.
type FileError struct {
	// Path of the file, as the user knows it.
	Path string
	// Problem completes the sentence that begins with the path: "is a folder".
	Problem string
	// Err is what led to it; may be nil.
	Err error
}

// Error says it, beginning with the path.
func (e *FileError) Error() string { return e.Path + " " + e.Problem }

// Unwrap returns what led to it.
func (e *FileError) Unwrap() error { return e.Err }

// file is a file as it is on the disk.
type file struct {
	path   string // as the user knows it
	real   string // with symbolic links followed; where it is written
	exists bool
	mode   fs.FileMode
	info   fs.FileInfo // nil where it does not exist
	data   []byte
}

// readFile reads a file that may be missing and that we may have to write.
func readFile(path string) (file, error) {
	f := file{path: path, real: path}
	real, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if link, err := os.Readlink(path); err == nil {
			return f, &FileError{path, "is a symbolic link to " + link + ", which does not exist", nil}
		}
		if parent, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			f.real = filepath.Join(parent, filepath.Base(path))
		}
		return f, nil
	case err != nil:
		return f, &FileError{path, "cannot be read: " + reason(err), err}
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return f, &FileError{path, "cannot be read: " + reason(err), err}
	case info.IsDir():
		return f, &FileError{path, "is a folder, not a file", nil}
	case !info.Mode().IsRegular():
		return f, &FileError{path, "is no regular file", nil}
	case info.Mode().Perm()&0o200 == 0:
		return f, &FileError{path, "is read-only; make it writable first: chmod u+w " + path, nil}
	case info.Size() > maxFile:
		return f, &FileError{path, fmt.Sprintf("is larger than %d MiB, too large for a configuration", maxFile>>20), nil}
	}
	data, err := os.ReadFile(real)
	if err != nil {
		return f, &FileError{path, "cannot be read: " + reason(err), err}
	}
	f.real, f.exists, f.info, f.mode, f.data = real, true, info, info.Mode().Perm(), data
	return f, nil
}

// reason is what the system said, without the path and the call.
func reason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		err = number
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "it belongs to somebody else, or its mode forbids it"
	case errors.Is(err, syscall.EROFS):
		return "the disk is read-only"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full"
	}
	return err.Error()
}

// disk is how files get into their place. Tests put errors between.
type disk struct {
	rename func(from, to string) error
	remove func(path string) error
}

func realDisk() disk { return disk{rename: os.Rename, remove: os.Remove} }

// stage writes data beside the file at path, safely on the disk, and returns
// the name that has to be renamed to path. mode goes through the umask where
// the file is new; like gives the owner and the exact mode where it is not.
func stage(path string, data []byte, mode fs.FileMode, like fs.FileInfo) (string, error) {
	temp, err := createBeside(path, mode)
	if err != nil {
		return "", err
	}
	name := temp.Name()
	_, err = temp.Write(data)
	if err == nil && like != nil {
		err = temp.Chmod(like.Mode().Perm())
		if err == nil {
			err = keepOwner(name, like)
		}
	}
	if err == nil {
		err = temp.Sync()
	}
	if closing := temp.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.Remove(name) // the first error says it all
		return "", err
	}
	return name, nil
}

// createBeside makes a file of a new name in the folder of path.
func createBeside(path string, mode fs.FileMode) (*os.File, error) {
	for i := range 1000 {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.claudemesh-%d-%d", filepath.Base(path), os.Getpid(), i))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("no free name beside %s", path)
}

// syncFolder makes renames in a folder safe, where the system can do that.
func syncFolder(dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	defer f.Close()
	_ = f.Sync() // some file systems and Windows refuse; the data itself is synced
}

// makeFolders makes dir and what is missing above it, and returns those made,
// the innermost first.
func makeFolders(dir string, mode fs.FileMode) ([]string, error) {
	var missing []string
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			return nil, &FileError{at, "is a file where a folder has to be", nil}
		}
		if err == nil || filepath.Dir(at) == at {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, &FileError{at, "cannot be read: " + reason(err), err}
		}
		missing = append(missing, at)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], mode); err != nil && !errors.Is(err, fs.ErrExist) {
			removeFolders(missing[i+1:])
			return nil, &FileError{missing[i], "cannot be made: " + reason(err), err}
		}
	}
	return missing, nil
}

// removeFolders removes the folders that are empty.
func removeFolders(dirs []string) {
	for _, dir := range dirs {
		_ = os.Remove(dir) // it stays where something is inside
	}
}
