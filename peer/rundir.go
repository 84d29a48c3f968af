package peer

import "github.com/claudemesh/claudemesh-go/profile"

// RunDir returns the folder in which the processes of a profile keep their
// sockets (0700). Dir as in Options. It opens no database.
func RunDir(dir string) (string, error) {
	folder, err := profile.Open(dir)
	if err != nil {
		return "", err
	}
	return folder.Run(), nil
}
