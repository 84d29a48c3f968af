-- The words of the history, for search. What is deleted leaves no words behind.
CREATE VIRTUAL TABLE history_text USING fts5 (
    body, content = 'history', content_rowid = 'place', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO history_text (history_text, rank) VALUES ('secure-delete', 1);
INSERT INTO history_text (history_text) VALUES ('rebuild');

CREATE TRIGGER history_added AFTER INSERT ON history BEGIN
    INSERT INTO history_text (rowid, body) VALUES (new.place, new.body);
END;

CREATE TRIGGER history_removed AFTER DELETE ON history BEGIN
    INSERT INTO history_text (history_text, rowid, body) VALUES ('delete', old.place, old.body);
END;
