# The server with its example graphs; docs/deployment.md says how to run it and what to put in front of it.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# What is optional is for the tests: a PostgreSQL, above all.
RUN npm ci --omit=optional
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build

# A stage of its own, so that neither npm's cache nor .npmrc stays in the image.
FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM node:24.21.0-bookworm-slim AS server
# In a container every caller comes from outside, hence HOST and HOLDPOINT_OPEN: who may reach the port is decided where it
# is published. No .env file is read.
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000 \
    HOLDPOINT_OPEN=1 \
    HOLDPOINT_GRAPHS=/app/examples \
    HOLDPOINT_DATA_DIR=/home/node/data
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# Given to the user that runs it: a checkout may be readable by its owner only.
COPY --chown=node:node package.json LICENSE ./
COPY --chown=node:node migrations ./migrations
COPY --chown=node:node examples ./examples

USER node
WORKDIR /home/node
RUN mkdir data
# The database, and what graphs write to their working directory, like the ledger of the refunds example.
WORKDIR /home/node/data
VOLUME /home/node/data

EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "/app/dist/main.js", "serve"]
