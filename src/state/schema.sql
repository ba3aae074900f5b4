CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE deployments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    environment TEXT NOT NULL,
    revision TEXT NOT NULL,
    digest TEXT,
    status TEXT NOT NULL,
    phase TEXT NOT NULL,
    trigger TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    changes TEXT NOT NULL,
    error TEXT,
    kept TEXT NOT NULL,
    log TEXT NOT NULL,
    previous INTEGER
) STRICT;

CREATE INDEX deployments_by_repository ON deployments (repository, id);
CREATE INDEX deployments_in_progress ON deployments (repository, id) WHERE status = 'in_progress';
CREATE INDEX deployments_pending ON deployments (repository, id) WHERE status = 'pending';

-- Times that are compared are seconds since the epoch; times that are shown are RFC 3339.
CREATE TABLE repositories (
    name TEXT PRIMARY KEY,
    live_deployment INTEGER REFERENCES deployments (id),
    accepted_commit TEXT,
    remote_tip TEXT,
    last_fetch_ok INTEGER,
    consecutive_failures INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER,
    drift_state TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    repository TEXT NOT NULL,
    root TEXT NOT NULL,
    path TEXT NOT NULL,
    identity TEXT NOT NULL,
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    sensitive INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    PRIMARY KEY (repository, root, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    revision TEXT NOT NULL,
    reason TEXT NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    repository TEXT NOT NULL,
    subject TEXT NOT NULL,
    phase TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (repository, subject, phase)
) STRICT, WITHOUT ROWID;

CREATE TABLE suspensions (
    repository TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    until TEXT,
    author TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    key TEXT NOT NULL,
    provider TEXT NOT NULL,
    payload TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    UNIQUE (repository, key)
) STRICT;

CREATE TABLE posted (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    key TEXT NOT NULL,
    payload TEXT NOT NULL,
    posts INTEGER NOT NULL,
    UNIQUE (repository, key)
) STRICT;

CREATE TABLE kept (
    id TEXT NOT NULL,
    deployment INTEGER NOT NULL REFERENCES deployments (id),
    root TEXT NOT NULL,
    path TEXT NOT NULL,
    reason TEXT NOT NULL,
    link INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    encrypted INTEGER NOT NULL,
    PRIMARY KEY (deployment, root, path, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX kept_by_id ON kept (id);

-- What the deployer remembers of a repository between passes, by name: what the live revision runs, a revert to be made.
CREATE TABLE memory (
    repository TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (repository, name)
) STRICT, WITHOUT ROWID;
