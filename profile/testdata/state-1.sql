CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
CREATE TABLE mesh (
    id           INTEGER PRIMARY KEY,
    mesh_id      BLOB NOT NULL UNIQUE,
    card_counter INTEGER NOT NULL DEFAULT 0 -- of the last card that was signed
);
CREATE TABLE peer (
    id  INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE
);
CREATE TABLE value (
    mesh  INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (mesh, name)
) WITHOUT ROWID;
CREATE TABLE chain (
    id       INTEGER PRIMARY KEY,
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    chain_id BLOB NOT NULL, -- empty: the roster
    n        INTEGER NOT NULL, -- the head's place
    signed   BLOB NOT NULL,
    sig      BLOB NOT NULL,
    UNIQUE (mesh, chain_id)
);
CREATE TABLE entry (
    chain  INTEGER NOT NULL REFERENCES chain (id) ON DELETE CASCADE,
    n      INTEGER NOT NULL,
    signed BLOB NOT NULL,
    sig    BLOB NOT NULL,
    PRIMARY KEY (chain, n)
) WITHOUT ROWID;
CREATE TABLE ban (
    id     INTEGER PRIMARY KEY,
    mesh   INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    since  INTEGER NOT NULL,
    signed BLOB NOT NULL,
    sig    BLOB NOT NULL,
    UNIQUE (mesh, signed)
);
CREATE TABLE session (
    id       BLOB PRIMARY KEY,
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    label    TEXT NOT NULL,
    pid      INTEGER NOT NULL,
    socket   TEXT NOT NULL,
    client   TEXT NOT NULL,
    receives INTEGER NOT NULL,
    status   INTEGER NOT NULL,
    active   INTEGER NOT NULL,
    started  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE outbox (
    place     INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh      INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    session   BLOB NOT NULL,
    id        BLOB NOT NULL,
    class     INTEGER NOT NULL,
    priority  INTEGER NOT NULL,
    one       INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    recipient INTEGER REFERENCES peer (id), -- of a direct one; else NULL, and in outbox_target
    hint      BLOB,
    sealed    BLOB NOT NULL
);
CREATE INDEX outbox_session ON outbox (mesh, session);
CREATE TABLE outbox_target (
    place     INTEGER NOT NULL REFERENCES outbox (place) ON DELETE CASCADE,
    target    INTEGER NOT NULL, -- 0, 1, 2 … as addressed
    recipient INTEGER NOT NULL REFERENCES peer (id),
    hint      BLOB,
    box       BLOB,
    state     INTEGER NOT NULL,
    why       TEXT NOT NULL,
    PRIMARY KEY (place, target)
) WITHOUT ROWID;
CREATE TABLE sent (
    id       INTEGER PRIMARY KEY,
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    message  BLOB NOT NULL,
    tail     INTEGER NOT NULL,
    session  BLOB NOT NULL,
    address  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    priority INTEGER NOT NULL,
    one      INTEGER NOT NULL, -- any one of the recipients shows it
    size     INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    reply_to BLOB,
    thread   BLOB,
    hash     BLOB NOT NULL -- of what was sealed, which receipts name
);
CREATE UNIQUE INDEX sent_message ON sent (tail, message, mesh);
CREATE TABLE sent_target (
    sent      INTEGER NOT NULL REFERENCES sent (id) ON DELETE CASCADE,
    recipient INTEGER NOT NULL REFERENCES peer (id),
    session   BLOB, -- as addressed
    label     TEXT NOT NULL,
    state     INTEGER NOT NULL,
    why       TEXT NOT NULL,
    steps     TEXT NOT NULL, -- JSON: every state, when, and by whose word
    PRIMARY KEY (sent, recipient)
) WITHOUT ROWID;
CREATE TABLE inbox (
    place     INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh      INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    sender    INTEGER NOT NULL REFERENCES peer (id),
    id        BLOB NOT NULL,
    state     INTEGER NOT NULL,
    arrived   INTEGER NOT NULL,
    session   BLOB NOT NULL, -- the sender's
    audience  BLOB NOT NULL,
    priority  INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    sent      INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    for_id    BLOB,
    for_label TEXT NOT NULL,
    reply     INTEGER NOT NULL,
    copy      INTEGER NOT NULL,
    takers    BLOB, -- sessions, 16 bytes each
    missing   INTEGER NOT NULL,
    shower    BLOB,
    again     INTEGER NOT NULL,
    box       BLOB,
    sealed    BLOB NOT NULL -- last: a scan need not read it
);
CREATE TABLE taken (
    mesh   INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    sender INTEGER NOT NULL REFERENCES peer (id),
    id     BLOB NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (mesh, sender, id)
) WITHOUT ROWID;
CREATE TABLE stream (
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    sender   INTEGER NOT NULL REFERENCES peer (id),
    session  BLOB NOT NULL,
    audience BLOB NOT NULL,
    priority INTEGER NOT NULL,
    shown    INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    PRIMARY KEY (mesh, sender, session, audience, priority)
) WITHOUT ROWID;
CREATE TABLE numbering (
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    session  BLOB NOT NULL,
    audience BLOB NOT NULL,
    priority INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    PRIMARY KEY (mesh, session, audience, priority)
) WITHOUT ROWID;
CREATE TABLE receipt (
    place     INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh      INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    session   BLOB NOT NULL,
    recipient INTEGER NOT NULL REFERENCES peer (id),
    id        BLOB NOT NULL,
    hash      BLOB NOT NULL,
    state     INTEGER NOT NULL,
    why       TEXT NOT NULL,
    time      INTEGER NOT NULL,
    expires   INTEGER NOT NULL
);
CREATE TABLE trust (
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    who      TEXT NOT NULL,
    policy   INTEGER NOT NULL,
    verified INTEGER NOT NULL, -- when the safety number was compared; 0: not
    keys     BLOB NOT NULL,    -- over which keys, 32 bytes each
    PRIMARY KEY (mesh, who)
) WITHOUT ROWID;
CREATE TABLE card (
    mesh    INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    peer    INTEGER NOT NULL REFERENCES peer (id),
    session BLOB NOT NULL, -- empty: the peer's own
    counter INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    signed  BLOB NOT NULL,
    sig     BLOB NOT NULL,
    extras  BLOB,
    PRIMARY KEY (mesh, peer, session)
) WITHOUT ROWID;
CREATE TABLE history (
    place    INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    message  BLOB NOT NULL,
    tail     INTEGER NOT NULL,
    outgoing INTEGER NOT NULL,
    peer     INTEGER NOT NULL REFERENCES peer (id), -- the sender
    address  TEXT NOT NULL,   -- of the other side
    session  BLOB NOT NULL,
    label    TEXT NOT NULL,
    audience TEXT NOT NULL,   -- as typed
    kind     TEXT NOT NULL,
    priority INTEGER NOT NULL,
    reply_to BLOB,
    thread   BLOB,
    depth    INTEGER NOT NULL,
    via      TEXT NOT NULL,
    sent     INTEGER NOT NULL,
    time     INTEGER NOT NULL, -- when it was shown here, or sent from here
    shower   BLOB NOT NULL,    -- the session of ours that showed or sent it
    again    INTEGER NOT NULL,
    body     TEXT NOT NULL
);
CREATE UNIQUE INDEX history_message ON history (tail, message, mesh, peer);
CREATE INDEX history_time ON history (mesh, time);
INSERT INTO goose_db_version VALUES (1, 0, 1, '2026-11-24 18:16:11');
INSERT INTO goose_db_version VALUES (2, 1, 1, '2026-11-24 18:16:11');
INSERT INTO mesh VALUES (1, X'01000000000000000000000000000000', 9);
INSERT INTO peer VALUES (1, X'B000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO peer VALUES (2, X'CA00000000000000000000000000000000000000000000000000000000000000');
INSERT INTO value VALUES (1, 'status', 'dnd');
INSERT INTO chain VALUES (1, 1, X'', 0, X'686561642030', X'736967206F6620686561642030');
INSERT INTO entry VALUES (1, 0, X'656E7472792030', X'736967206F6620656E7472792030');
INSERT INTO ban VALUES (1, 1, 1, X'7265766F6B65', X'736967206F66207265766F6B65');
INSERT INTO outbox VALUES (1, 1, X'01000000000000000000000000000000', X'01000000000000000000000000000307', 0, 0, 0, 0, NULL, NULL, X'7365616C6564');
INSERT INTO outbox_target VALUES (1, 0, 1, NULL, X'62', 0, '');
INSERT INTO outbox_target VALUES (1, 1, 2, NULL, X'63', 0, '');
INSERT INTO sent VALUES (1, 1, X'01000000000000000000000000000307', 775, X'00000000000000000000000000000000', 'bob', 'message', 0, 0, 0, 0, 0, NULL, NULL, X'0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO sent_target VALUES (1, 1, NULL, '', 0, '', '[{"state":"pending","time":5,"word":"self"}]');
INSERT INTO inbox VALUES (1, 1, 1, X'01000000000000000000000000000207', 0, 10, X'04000000000000000000000000000000', X'03000000000000000000000000000000', 2, 2, 3, 400, X'05000000000000000000000000000000', 'web', 1, 1, X'0600000000000000000000000000000007000000000000000000000000000000', 7, NULL, 0, X'626F78', X'7365616C6564');
INSERT INTO taken VALUES (1, 1, X'01000000000000000000000000000207', 500);
INSERT INTO stream VALUES (1, 1, X'04000000000000000000000000000000', X'03000000000000000000000000000000', 2, 4, 900);
INSERT INTO numbering VALUES (1, X'01000000000000000000000000000000', X'01000000000000000000000000000000', 0, 1);
INSERT INTO receipt VALUES (1, 1, X'01000000000000000000000000000000', 1, X'01000000000000000000000000000107', X'0000000000000000000000000000000000000000000000000000000000000000', 5, '', 0, 50);
INSERT INTO trust VALUES (1, 'bob', 1, 7, X'');
INSERT INTO card VALUES (1, 1, X'', 5, 0, X'63617264', X'736967206F662063617264', NULL);
INSERT INTO history VALUES (1, 1, X'01000000000000000000000000000107', 263, 0, 1, 'bob@desk/web', X'01000000000000000000000000000000', 'web', 'alice', 'ask', 1, X'01000000000000000000000000003207', X'01000000000000000000000000003307', 2, 'slack', 3, 5, X'02000000000000000000000000000000', 1, 'body 1');
