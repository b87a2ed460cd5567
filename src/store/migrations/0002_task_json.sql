-- What a task is and where its parties stand is written often and only ever read as a whole. As json it is kept as the text
-- that came, where jsonb parses it to a tree and prints it again: a batch of new jobs is saved in two thirds of the time.

alter table tasks
  alter column definition type json,
  alter column parties type json,
  alter column stopping type json;

alter table events
  alter column detail type json;
