#!/usr/bin/env node
import { buildServer } from "./http/index.js";

const app = buildServer();
console.log(`listening on ${await app.listen({ host: "127.0.0.1", port: 3000 })}`);
