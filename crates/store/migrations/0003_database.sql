-- The database beside an app. What is kept of it holds passwords.
create table database (
    app         integer primary key references app (id) on delete cascade,
    kind        text    not null check (kind in ('postgres', 'mongodb', 'mssql')),
    state       text    not null check (state in ('making', 'ready', 'rotating')),
    kept        blob    not null, -- sealed
    created_at  integer not null
) strict;
