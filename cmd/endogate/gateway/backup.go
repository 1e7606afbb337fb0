package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"endogate/configs"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/durable"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/inference"
)

// BackupFile is the name of what says what a backup is of. A folder without it is none: it is written at last.
const BackupFile = "backup.json"

// unfinishedFile is in the data folder of a backup from its beginning until all the rest is on the disk.
const unfinishedFile = "unfinished-backup"

// CheckDataFolder fails where a data folder is of a backup that was cut off.
func CheckDataFolder(dataDir string) error {
	mark := filepath.Join(dataDir, unfinishedFile)
	if _, err := os.Stat(mark); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return fmt.Errorf("data folder %s is of a backup that was cut off, and lacks what had not been copied by then: restore one that has %s; "+
		"where there is none, endogate ledger rebuild makes the best of this one once you have removed %s", dataDir, BackupFile, mark)
}

// BackupOf says what a backup has, and what it needs besides.
type BackupOf struct {
	Release string         `json:"release"`
	Begun   time.Time      `json:"begun"` // what was accepted before is in it
	Ended   time.Time      `json:"ended"`
	Node    string         `json:"node"`
	AETitle string         `json:"ae_title"`
	DataDir string         `json:"data_dir"`         // where the data folder was
	Config  string         `json:"config,omitempty"` // the configuration file, a copy of which is beside this file
	Models  []BackupModel  `json:"models"`           // the bundles, which are not in it
	Ledger  bool           `json:"ledger"`           // false: it was damaged; the first start makes it from the spool
	Spool   spool.BackedUp `json:"spool"`
}

// BackupModel names a model bundle.
type BackupModel struct {
	Dir     string `json:"dir"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	Digest  string `json:"digest,omitempty"` // SHA-256 of the network file
	Fault   string `json:"fault,omitempty"`  // why it could not be read
}

// Backup writes what the data folder has to the folder to, which must be empty or not there, also beside a gateway that
// runs: the ledger first, then the spool, which so has all that the ledger knows of. To restore it, to/data is copied to where
// the data folder is to be; the first start has the ledger catch up with the spool. config is the path of the
// configuration file, "" where there is none.
func Backup(ctx context.Context, cfg configs.Config, config, to string, build Build, log *slog.Logger) (done BackupOf, err error) {
	if err := CheckDataFolder(cfg.DataDir); err != nil {
		return done, fmt.Errorf("backup: %w", err)
	}
	done = BackupOf{Release: build.Version, AETitle: string(cfg.DICOM.AETitle), Config: config}
	if done.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return done, err
	}
	if done.Node, err = existingNode(cfg.DataDir); err != nil {
		return done, fmt.Errorf("backup: %w; give --config, or data_dir in it", err)
	}
	if err := emptyFolder(to); err != nil {
		return done, fmt.Errorf("backup: %w", err)
	}
	done.Begun = time.Now().UTC() // from here on there is something in the folder
	at := cfg
	at.DataDir = filepath.Join(to, "data")
	if err := os.Mkdir(at.DataDir, 0o700); err != nil {
		return done, err
	}
	mark := filepath.Join(at.DataDir, unfinishedFile)
	if err := errors.Join(durable.WriteFile(mark, nil), durable.SyncFolder(to)); err != nil {
		return done, err
	}
	switch err := ledger.CopyFile(ctx, cfg.LedgerFile(), at.LedgerFile()); {
	case err == nil:
		done.Ledger = true
	case ledger.IsTrouble(err), missing(cfg.LedgerFile()):
		log.Error("the ledger is not in the backup, the first start makes it from the spool", "err", err)
	default:
		return done, err
	}
	if done.Spool, err = spool.Backup(ctx, cfg.SpoolDir(), at.SpoolDir()); err != nil {
		return done, err
	}
	if id, err := storeID(cfg); err != nil || id != "" {
		if err = errors.Join(err, durable.WriteFile(storeFile(at), []byte(id+"\n"))); err != nil {
			return done, err
		}
	}
	if err := durable.WriteFile(filepath.Join(at.DataDir, nodeFile), []byte(done.Node+"\n")); err != nil {
		return done, err
	}
	if err := copyPeople(cfg, at); err != nil {
		return done, err
	}
	if config != "" {
		text, err := os.ReadFile(config)
		if err = errors.Join(err, durable.WriteFile(filepath.Join(to, filepath.Base(config)), text)); err != nil {
			return done, err
		}
	}
	if err := errors.Join(os.Remove(mark), durable.SyncFolder(at.DataDir)); err != nil {
		return done, err
	}
	done.Models = bundlesOf(ctx, cfg)
	done.Ended = time.Now().UTC()
	text, err := json.MarshalIndent(done, "", "  ")
	if err != nil {
		return done, err
	}
	return done, durable.WriteFile(filepath.Join(to, BackupFile), append(text, '\n'))
}

// copyPeople copies who may sign in, and the audit trail: its head before what the head is of, which grows meanwhile.
func copyPeople(from, to configs.Config) error {
	if from.Audit.KeyFile == "" {
		for _, end := range []string{"", ".head"} {
			if err := copyFile(from.AuditKey()+end, to.AuditKey()+end); err != nil {
				return err
			}
		}
	}
	for _, dir := range [][2]string{{from.AuditDir(), to.AuditDir()}, {from.AccessDir(), to.AccessDir()}} {
		err := filepath.WalkDir(dir[0], func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // of a gateway that never ran with it, or removed since
			}
			name, failed := filepath.Rel(dir[0], path)
			if err = errors.Join(err, failed); err != nil {
				return err
			}
			if name == audit.Sent {
				return nil // of a log that goes on: of the copy all is sent again
			}
			at := filepath.Join(dir[1], name)
			if d.IsDir() {
				return os.MkdirAll(at, 0o700)
			}
			return copyFile(path, at)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file, if it is there, onto the disk.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// existingNode is the name of the gateway of a data folder. A folder without one was never a gateway's.
func existingNode(dataDir string) (string, error) {
	if _, err := os.Stat(filepath.Join(dataDir, nodeFile)); err != nil {
		return "", err
	}
	return nodeID(dataDir)
}

// emptyFolder makes a folder where it is not there.
func emptyFolder(dir string) error {
	names, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.MkdirAll(dir, 0o700)
	case err != nil:
		return err
	case len(names) > 0 && CheckDataFolder(filepath.Join(dir, "data")) != nil:
		return fmt.Errorf("folder %s has a backup that was cut off: remove it, or name a new one", dir)
	case len(names) > 0:
		return fmt.Errorf("folder %s is not empty: name a new one", dir)
	}
	return nil
}

// bundlesOf are the bundles that a gateway needs of which this is the configuration, and the data folder.
func bundlesOf(ctx context.Context, cfg configs.Config) (models []BackupModel) {
	var dirs []string
	for _, m := range cfg.Models {
		dirs = append(dirs, m.Dir)
	}
	choices, _ := Chosen(ctx, cfg) // what is wrong with the ledger, the backup says
	for _, c := range choices {
		dirs = append(dirs, c.Dir)
	}
	for _, dir := range dirs {
		model := BackupModel{Dir: dir}
		if b, err := inference.LoadBundle(dir); err != nil {
			model.Fault = err.Error()
		} else {
			model.Name, model.Version, model.Digest = b.Name, b.Version, b.Digest
		}
		models = append(models, model)
	}
	return models
}
