/** A `T` that is being made: a copy changed before anybody sees it costs a fraction of several spreads. */
export type Mutable<T> = { -readonly [K in keyof T]: T[K] };
