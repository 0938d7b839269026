/** Time and randomness that the tests control. */

/** Run everything that is ready: resolved promises, and what they start. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Random numbers from 0 to below 1, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export interface Timer {
  at: number;
  callback: () => void;
}

/** A clock with timers that only `advance()` moves. */
export class ManualClock {
  now = 1_700_000_000_000;
  readonly timers = new Set<Timer>();

  set(callback: () => void, delayMs: number): Timer {
    const timer = { at: this.now + delayMs, callback };
    this.timers.add(timer);
    return timer;
  }

  /** Move on by `ms` and run the timers that are due, in order. */
  async advance(ms: number): Promise<void> {
    await settle();
    const end = this.now + ms;
    for (;;) {
      const due = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.now = Math.max(this.now, due.at);
      this.timers.delete(due);
      due.callback();
      await settle();
    }
    this.now = end;
  }

  /** Milliseconds until the next timer. */
  get untilNext(): number {
    return Math.min(...[...this.timers].map(({ at }) => at)) - this.now;
  }
}
