-- Who asked for a deployment: null where it is not known (what was asked for before this was kept).
alter table deployment add column by_kind text check (by_kind in ('user', 'token', 'push', 'machine'));
alter table deployment add column by_name text not null default '';
