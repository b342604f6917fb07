-- Backups of databases. They outlive their app, so they bear its name and not its number.
create table backup (
    id          text    primary key,
    app         text    not null,
    kind        text    not null check (kind in ('daily', 'on-demand', 'final', 'before-restore')),
    database    text    not null check (database in ('postgres', 'mongodb', 'mssql')),
    state       text    not null check (state in ('made', 'verified', 'damaged')),
    made_at     integer not null,
    bytes       integer not null,
    sha256      text    not null,
    tables      integer,          -- what was found when it was restored for a test
    rows        integer,
    verified_at integer,
    problem     text,
    gone_at     integer,          -- when its app was deleted; one of the same name that came later is another app
    places      text    not null  -- where it lies: words, with a space between
) strict;

create index backup_app on backup (app, made_at);
