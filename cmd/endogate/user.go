package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"endogate/cmd/endogate/access"
	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/audit"
)

type userCmd struct {
	Add     userAdd     `cmd:"" help:"Add a user: the password comes from standard input, or the user sets it by the link that is printed."`
	List    userList    `cmd:"" help:"Print users and roles."`
	Role    userRole    `cmd:"" help:"Give a user another role."`
	Link    userLink    `cmd:"" help:"Print a link by which a user sets a password anew, once."`
	Disable userDisable `cmd:"" help:"Keep a user from signing in."`
	Enable  userEnable  `cmd:"" help:"Let a user sign in again."`
	Remove  userRemove  `cmd:"" help:"Remove a user."`
	Hash    userHash    `cmd:"" help:"Print the Argon2id of a passcode from standard input, for the identity of a DICOM peer."`
}

type userAdd struct {
	Name string      `arg:"" help:"1 to 64 of a-z, 0-9, ., _, - and @."`
	Role access.Role `required:"" help:"viewer, clinician, operator or administrator."`
}

type userRole struct {
	Name string      `arg:"" help:"Of the user."`
	Role access.Role `arg:"" help:"viewer, clinician, operator or administrator."`
}

type (
	userLink struct {
		Name string `arg:"" help:"Of the user."`
	}
	userRemove struct {
		Name string `arg:"" help:"Of the user."`
	}
	userDisable struct {
		Name string `arg:"" help:"Of the user."`
	}
	userEnable struct {
		Name string `arg:"" help:"Of the user."`
	}
	userList struct{}
	userHash struct{}
)

// Run prints what a configuration may hold in place of a passcode.
func (userHash) Run(tty console) error {
	passcode, err := given(os.Stdin)
	if err != nil {
		return err
	}
	hash, err := access.HashPasscode(passcode)
	if err != nil {
		return err
	}
	fmt.Fprintln(tty.out, hash)
	return nil
}

// linkValid is how long a printed set-up link can be used.
const linkValid = 24 * time.Hour

// Run adds a user.
func (u *userAdd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, store, err := c.access()
	if err != nil {
		return err
	}
	password, err := given(os.Stdin)
	if err != nil {
		return err
	}
	if password != "" {
		if err := access.CheckPassword(u.Name, password); err != nil {
			return err
		}
	}
	return recorded(ctx, cfg, "user add", audit.Create, u.Name, func() error {
		if err := store.AddUser(u.Name, u.Role); err != nil {
			return err
		}
		if password == "" {
			return printLink(cfg, store, u.Name, tty.out)
		}
		if err := store.SetPassword(ctx, u.Name, password); err != nil {
			return errors.Join(err, store.RemoveUser(u.Name)) // who has no password and no link is nobody
		}
		fmt.Fprintf(tty.out, "%s has the role %s\n", u.Name, u.Role)
		return nil
	})
}

// given is the first line of what stands at standard input; a terminal gives none.
func given(in *os.File) (string, error) {
	info, err := in.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice != 0 {
		return "", nil // it is closed, or somebody sits before it, and would type in clear
	}
	line, err := bufio.NewReader(io.LimitReader(in, 4<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("standard input: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func printLink(cfg configs.Config, store *access.Store, name string, out io.Writer) error {
	key, err := store.SetupSecret(name, linkValid)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s sets a password by this link, once and within a day:\n%s\n", name, page(cfg)+admin.SetUpPath(key))
	return nil
}

// page is where a configuration's page is reached.
func page(cfg configs.Config) string {
	host := reachable(cfg.HTTP.Listen)
	if len(cfg.HTTP.Hosts) > 0 {
		host = cfg.HTTP.Hosts[0]
	}
	if cfg.HTTP.TLS.CertFile != "" || cfg.HTTP.BehindTLS {
		return "https://" + host
	}
	return "http://" + host
}

// Run prints a set-up link.
func (u *userLink) Run(ctx context.Context, c *cli, tty console) error {
	cfg, store, err := c.access()
	if err != nil {
		return err
	}
	return recorded(ctx, cfg, "user link", audit.Update, u.Name, func() error { return printLink(cfg, store, u.Name, tty.out) })
}

// Run gives a user another role.
func (u *userRole) Run(ctx context.Context, c *cli, _ console) error {
	cfg, store, err := c.access()
	if err != nil {
		return err
	}
	return recorded(ctx, cfg, "user role", audit.Update, u.Name, func() error { return store.SetRole(u.Name, u.Role) })
}

// Run keeps a user out.
func (u *userDisable) Run(ctx context.Context, c *cli, _ console) error {
	return c.setDisabled(ctx, "user disable", u.Name, true)
}

// Run lets a user in again.
func (u *userEnable) Run(ctx context.Context, c *cli, _ console) error {
	return c.setDisabled(ctx, "user enable", u.Name, false)
}

func (c *cli) setDisabled(ctx context.Context, command, name string, disabled bool) error {
	cfg, store, err := c.access()
	if err != nil {
		return err
	}
	return recorded(ctx, cfg, command, audit.Update, name, func() error { return store.SetDisabled(name, disabled) })
}

// Run removes a user.
func (u *userRemove) Run(ctx context.Context, c *cli, _ console) error {
	cfg, store, err := c.access()
	if err != nil {
		return err
	}
	return recorded(ctx, cfg, "user remove", audit.Delete, u.Name, func() error { return store.RemoveUser(u.Name) })
}

// Run prints the users.
func (userList) Run(_ context.Context, c *cli, tty console) error {
	_, store, err := c.access()
	if err != nil {
		return err
	}
	users, err := store.Users()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	for _, u := range users {
		state := "signs in"
		switch {
		case u.Disabled:
			state = "is disabled"
		case u.Password == "":
			state = "has no password yet"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Name, u.Role, u.Created.Local().Format(time.DateTime), state)
	}
	return w.Flush()
}

type tokenCmd struct {
	Create tokenCreate `cmd:"" help:"Make a token for a program and print it; it is shown once."`
	List   tokenList   `cmd:"" help:"Print the tokens there are, without their secrets."`
	Revoke tokenRevoke `cmd:"" help:"Make a token void."`
}

type tokenCreate struct {
	Role    access.Role    `required:"" help:"viewer, clinician, operator or administrator."`
	Expires time.Duration  `required:"" help:"How long it is valid, such as 24h." placeholder:"24h"`
	Name    string         `help:"What it is for." default:"token"`
	Scope   []access.Right `help:"Only these of the role's rights, such as measure." placeholder:"RIGHT"`
}

// Run prints a new token, as the last line.
func (t *tokenCreate) Run(ctx context.Context, c *cli, tty console) error {
	cfg, store, err := c.access()
	if err != nil {
		return err
	}
	return recorded(ctx, cfg, "token create", audit.Create, t.Name, func() error {
		text, made, err := store.CreateToken(t.Name, t.Role, t.Scope, t.Expires)
		if err != nil {
			return err
		}
		fmt.Fprintf(tty.err, "token %s of the role %s, until %s\n", made.ID, made.Role, made.Expires.Local().Format(time.DateTime))
		fmt.Fprintln(tty.out, text)
		return nil
	})
}

type tokenList struct{}

// Run prints the tokens.
func (tokenList) Run(_ context.Context, c *cli, tty console) error {
	_, store, err := c.access()
	if err != nil {
		return err
	}
	tokens, err := store.Tokens()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	for _, t := range tokens {
		fmt.Fprintf(w, "%s\t%s\t%s\tuntil %s\t%v\n", t.ID, t.Name, t.Role, t.Expires.Local().Format(time.DateTime), t.Scope)
	}
	return w.Flush()
}

type tokenRevoke struct {
	ID string `arg:"" help:"As endogate token list prints it."`
}

// Run makes a token void.
func (t *tokenRevoke) Run(ctx context.Context, c *cli, _ console) error {
	cfg, store, err := c.access()
	if err != nil {
		return err
	}
	return recorded(ctx, cfg, "token revoke", audit.Delete, t.ID, func() error { return store.RevokeToken(t.ID) })
}

// access opens the users and tokens of the configuration, also beside a gateway that runs.
func (c *cli) access() (configs.Config, *access.Store, error) {
	cfg, err := c.load()
	if err == nil {
		err = c.folder(cfg)
	}
	if err != nil {
		return cfg, nil, err
	}
	store, err := access.Open(cfg.AccessDir(), time.Now)
	return cfg, store, err
}

// folder refuses a data folder that is not there and that nobody has named: whoever forgot --config would look into a new one, or add a
// user to it.
func (c *cli) folder(cfg configs.Config) error {
	_, err := os.Stat(cfg.DataDir)
	if err == nil || c.Config != "" || cfg.DataDir != configs.Default().DataDir {
		return nil
	}
	return fmt.Errorf("data_dir: %w; give --config, or data_dir in it", err)
}

// recorded does what is done with a user or a token.
func recorded(ctx context.Context, cfg configs.Config, command string, action audit.Action, about string, do func() error) error {
	return recordedAs(ctx, cfg, command, audit.Event{
		ID: audit.SecurityAlert, Type: audit.UserSecurityAttributes, Action: action, Objects: []audit.Object{{Kind: audit.User, ID: about}},
	}, do)
}

// recordedAs does what the audit trail then has a word of: what is to be done, and whether it failed.
func recordedAs(ctx context.Context, cfg configs.Config, command string, e audit.Event, do func() error) error {
	trail, err := gateway.OpenAudit(cfg)
	if err != nil {
		return err
	}
	defer trail.Close()
	e.Participants = []audit.Participant{{ID: shellUser(), Requested: true}, {ID: "endogate " + command, Role: audit.Application}}
	if err := trail.Record(ctx, e); err != nil {
		return err
	}
	err = do()
	if err != nil {
		e.Outcome, e.Why = audit.Minor, err.Error()
		err = errors.Join(err, trail.Record(ctx, e))
	}
	return err
}

// shellUser is who types, as this machine has it.
func shellUser() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
