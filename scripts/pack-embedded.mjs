// Makes an empty embedded database and packs it into the file named by the first argument.
import { writeFileSync } from "node:fs";
import { PGlite } from "@electric-sql/pglite";

const db = await PGlite.create();
const packed = await db.dumpDataDir("gzip");
writeFileSync(process.argv[2], Buffer.from(await packed.arrayBuffer()));
await db.close();
