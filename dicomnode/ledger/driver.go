package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// openDatabase opens a database of which see gets every error, whatever was asked and whoever asked it.
func openDatabase(dsn string, see func(error)) *sql.DB { return sql.OpenDB(connector{dsn, see}) }

// asked is told of every statement in tests: how each is done is looked at there. Else it is nil.
var asked func(text string)

func ask(text string) string {
	if asked != nil {
		asked(text)
	}
	return text
}

type connector struct {
	dsn string
	see func(error)
}

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{ConnectHook: register} }

// Connect implements driver.Connector.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.dsn)
	if err != nil {
		c.see(err)
		return nil, err
	}
	return seenConn{conn.(*sqlite3.SQLiteConn), c.see}, nil
}

type seenConn struct {
	*sqlite3.SQLiteConn
	see func(error)
}

// PrepareContext implements driver.ConnPrepareContext.
func (c seenConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.SQLiteConn.PrepareContext(ctx, ask(query))
	if err != nil {
		c.see(err)
		return nil, err
	}
	return seenStmt{s.(*sqlite3.SQLiteStmt), c.see}, nil
}

// ExecContext implements driver.ExecerContext.
func (c seenConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return seen(c.see)(c.SQLiteConn.ExecContext(ctx, ask(query), args))
}

// QueryContext implements driver.QueryerContext.
func (c seenConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return seenQuery(c.see)(c.SQLiteConn.QueryContext(ctx, ask(query), args))
}

type seenStmt struct {
	*sqlite3.SQLiteStmt
	see func(error)
}

// ExecContext implements driver.StmtExecContext.
func (s seenStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return seen(s.see)(s.SQLiteStmt.ExecContext(ctx, args))
}

// QueryContext implements driver.StmtQueryContext.
func (s seenStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return seenQuery(s.see)(s.SQLiteStmt.QueryContext(ctx, args))
}

func seen(see func(error)) func(driver.Result, error) (driver.Result, error) {
	return func(r driver.Result, err error) (driver.Result, error) {
		if err != nil {
			see(err)
		}
		return r, err
	}
}

func seenQuery(see func(error)) func(driver.Rows, error) (driver.Rows, error) {
	return func(rows driver.Rows, err error) (driver.Rows, error) {
		if err != nil {
			see(err)
			return nil, err
		}
		return seenRows{rows.(*sqlite3.SQLiteRows), see}, nil
	}
}

type seenRows struct {
	*sqlite3.SQLiteRows
	see func(error)
}

// Next implements driver.Rows.
func (r seenRows) Next(dest []driver.Value) error {
	err := r.SQLiteRows.Next(dest)
	if err != nil {
		r.see(err) // io.EOF too, which is none of SQLite's
	}
	return err
}
