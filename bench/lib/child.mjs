/** The process of one contestant. A round gives how much was done in which time, at which cost. */
let made = null;

const acts = {
  async setup({ file, make, options, env }) {
    const module = await import(new URL(`../contestants/${file}.mjs`, import.meta.url).href);
    made = await module[make]({ ...options, ...env });
  },
  async round({ ms, callers }) {
    if (made.before !== undefined) await made.before();
    const cpu = process.cpuUsage();
    const from = performance.now();
    const sample = await made.round(ms, callers);
    const spent = performance.now() - from;
    const { user, system } = process.cpuUsage(cpu);
    const after = made.after === undefined ? {} : await made.after(sample);
    return { ms: spent, cpuUs: user + system, ...sample, ...after };
  },
  steps: (message) => made.steps(message),
  async close() {
    await made?.close?.();
  },
};

process.on("message", (message) => {
  acts[message.do](message).then(
    (value) => process.send({ value }),
    (error) => process.send({ error: error?.stack ?? String(error) }),
  );
});
process.on("disconnect", () => process.exit(0));
