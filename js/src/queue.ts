/** Messages that wait for `for await`. */

/** A reader that falls further behind gets an error, not a hole. */
export const QUEUE_MAX_MESSAGES = 10_000;

export class Queue<T> implements AsyncIterableIterator<T> {
  private _items: T[] = [];
  private _waiters: ((result: IteratorResult<T, undefined>) => void)[] = [];
  private _ended = false;
  private _error: Error | null = null;

  /** `onReturn` hears that the reader left the loop. */
  constructor(private readonly _onReturn: (queue: Queue<T>) => void) {}

  push(item: T): void {
    if (this._ended) return;
    const waiter = this._waiters.shift();
    if (waiter) waiter({ value: item, done: false });
    else if (this._items.length < QUEUE_MAX_MESSAGES) this._items.push(item);
    else {
      this._error = new RangeError(
        `the loop is ${QUEUE_MAX_MESSAGES} messages behind, the most that wait; read faster or listen to "message"`,
      );
      this.end();
    }
  }

  /** No more will come; what waits can still be read. */
  end(): void {
    this._ended = true;
    for (const waiter of this._waiters.splice(0)) waiter({ value: undefined, done: true });
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const item = this._items.shift();
    if (item !== undefined) return Promise.resolve({ value: item, done: false });
    const error = this._error;
    if (error) {
      this._error = null;
      return Promise.reject(error);
    }
    if (this._ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this._waiters.push(resolve));
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this._items = [];
    this.end();
    this._onReturn(this);
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
