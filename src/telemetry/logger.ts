import pino from "pino";

export type { Logger as PinoLogger } from "pino";

/** JSON lines to stdout; pretty where a person reads along. */
export function createLogger(level: string, pretty: boolean): pino.Logger {
  if (!pretty) return pino({ level, base: undefined });
  return pino({
    level,
    base: undefined,
    transport: { target: "pino-pretty", options: { translateTime: "HH:MM:ss.l", ignore: "pid,hostname" } },
  });
}
