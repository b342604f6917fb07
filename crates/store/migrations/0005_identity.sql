-- A user: signs in by a password, by GitHub, or both. Numbers are never given twice, since the audit log names them.
create table user (
    id           integer primary key autoincrement,
    name         text    not null unique,
    role         text    not null check (role in ('member', 'operator')),
    password     text,             -- argon2id with its parameters; null: signs in by GitHub alone
    totp         blob,             -- sealed; null: one factor is enough
    totp_step    integer,          -- the last step whose code was taken: none is taken twice
    github_id    integer unique,
    github_login text,
    avatar       text,
    disabled     integer not null default 0 check (disabled in (0, 1)),
    created_at   integer not null,
    signed_in_at integer
) strict;

-- What a user signs in by once, where the authenticator is lost.
create table recovery_code (
    hash         blob    primary key,
    user         integer not null references user (id) on delete cascade
) strict;
create index recovery_code_user on recovery_code (user);

-- A browser that is signed in; only the hash of what its cookie holds is kept.
create table session (
    id           integer primary key autoincrement,
    user         integer not null references user (id) on delete cascade,
    hash         blob    not null unique,
    how          text    not null check (how in ('link', 'password', 'github')),
    created_at   integer not null,
    used_at      integer not null,
    address      text    not null,
    agent        text    not null
) strict;
create index session_user on session (user);

-- What a user may do with an app.
create table membership (
    app          integer not null references app (id) on delete cascade,
    user         integer not null references user (id) on delete cascade,
    role         text    not null check (role in ('viewer', 'developer', 'owner')),
    primary key (app, user)
) strict;
create index membership_user on membership (user);

-- An invitation: whoever has its link may become a user, once.
create table invite (
    id           integer primary key autoincrement,
    hash         blob    not null unique,
    role         text    not null check (role in ('member', 'operator')),
    app          integer references app (id) on delete cascade,
    app_role     text    check (app_role in ('viewer', 'developer', 'owner')),
    note         text    not null, -- for whom it was made
    made_by      text    not null,
    created_at   integer not null,
    expires_at   integer not null,
    check ((app is null) = (app_role is null))
) strict;

-- A link that signs in once: without a user it makes the first operator.
create table sign_in_link (
    hash         blob    primary key,
    user         integer references user (id) on delete cascade,
    created_at   integer not null,
    expires_at   integer not null
) strict;

-- Who changed what. Rows outlive whom and what they name.
create table audit (
    id           integer primary key autoincrement,
    at           integer not null,
    who          text    not null,
    user         integer,
    what         text    not null,
    app          text,
    detail       text    not null,
    address      text    not null
) strict;
create index audit_app on audit (app, id);

-- A token may be a user's own: it may do what they may, of its one app where it names one.
alter table token add column user integer references user (id) on delete cascade;
