-- Words of the history are indexed when somebody searches, many messages at a time,
-- in the order of their places. What was indexed has a row in history_text_docsize,
-- a table that FTS5 keeps.
DROP TRIGGER history_added;
DROP TRIGGER history_removed;

CREATE TRIGGER history_removed AFTER DELETE ON history
WHEN EXISTS (SELECT 1 FROM history_text_docsize WHERE id = old.place) BEGIN
    INSERT INTO history_text (history_text, rowid, body) VALUES ('delete', old.place, old.body);
END;
