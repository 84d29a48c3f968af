-- The steps of a message as plain words, which take half the room and are written and
-- read without a parser: "pending 1764352800000 self,refused 1764352800123 broker muted".
UPDATE sent SET steps = (SELECT group_concat(concat_ws(' ', value ->> 'state', value ->> 'time', value ->> 'word', value ->> 'why'), ',' ORDER BY key)
    FROM json_each(steps)) WHERE steps IS NOT NULL;
UPDATE sent_target SET steps = (SELECT group_concat(concat_ws(' ', value ->> 'state', value ->> 'time', value ->> 'word', value ->> 'why'), ',' ORDER BY key)
    FROM json_each(steps));
