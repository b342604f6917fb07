-- A part of an app's visitors may get another revision than the live one.
alter table app add column split_revision integer;
alter table app add column split_percent integer check (split_percent between 1 and 99);
