// Clients of PostgreSQL in JavaScript, each as one would write it: nothing but the variables of the platform.
import { readFileSync } from "node:fs";
import pg from "pg";
import { Sequelize } from "sequelize";

const WHO = "select current_user::text as user, ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
const URL = process.env.DATABASE_URL;

const version = (name) => JSON.parse(readFileSync(new globalThis.URL(`node_modules/${name}/package.json`, import.meta.url))).version;
const told = (name, row) => console.log(`${row.user} ${row.ssl ? "TLS" : "plain"} ${row.version} ${version(name)}`);

async function client(config) {
  const connection = new pg.Client(config);
  await connection.connect();
  told("pg", (await connection.query(WHO)).rows[0]);
  await connection.end();
}

async function sequelize() {
  const connection = new Sequelize(URL, { dialect: "postgres", logging: false });
  const [rows] = await connection.query(WHO);
  told("sequelize", rows[0]);
  await connection.close();
}

const clients = {
  pg: () => client(undefined),
  "pg-url": () => client({ connectionString: URL }),
  sequelize,
};
await clients[process.argv[2]]();
