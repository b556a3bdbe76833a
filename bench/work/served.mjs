const ROLES = { fastify: "floor", holdpoint: "holdpoint", "langgraph-embed": "peer" };

/** A contestant that is a server of this kind (contestants/http.mjs), and a process of clients that `make` gives. */
export const served = (name, kind, make, options = {}) => ({
  name,
  file: "http",
  make,
  isServer: true,
  options: { kind, ...options },
  role: ROLES[kind],
});
