import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { newPostgresDatabase } from "../support/databases.js";
import { checkpointerContract } from "./checkpointer.js";
import { durabilityContract, type Durable } from "./durability.js";

async function make(): Promise<Durable> {
  const url = await newPostgresDatabase();
  const checkpointer = new PgCheckpointer(url);
  await checkpointer.open();
  const others: PgCheckpointer[] = [];
  return {
    checkpointer,
    reopen: async () => {
      const other = new PgCheckpointer(url);
      others.push(other);
      await other.open();
      return other;
    },
    close: async () => {
      for (const each of [checkpointer, ...others]) await each.close();
    },
  };
}

checkpointerContract("PostgreSQL", make, { shares: true });
durabilityContract(make);
