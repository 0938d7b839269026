/** A bounded queue that is read with `for await`. */

import { QUEUE_MAX_MESSAGES } from "./limits.js";

const END: IteratorReturnResult<undefined> = { value: undefined, done: true };

export class AsyncQueue<T> implements AsyncIterableIterator<T> {
  private _items: T[] = [];
  private _waiters: ((result: IteratorResult<T, undefined>) => void)[] = [];
  private _ended = false;
  private _error: Error | null = null;

  /** `onReturn` is called when the reader leaves the loop. */
  constructor(private readonly _onReturn: (queue: AsyncQueue<T>) => void) {}

  push(item: T): void {
    if (this._ended) return;
    const waiter = this._waiters.shift();
    if (waiter) waiter({ value: item, done: false });
    else if (this._items.length < QUEUE_MAX_MESSAGES) this._items.push(item);
    else {
      this._error = new RangeError(
        `the loop is ${QUEUE_MAX_MESSAGES} messages behind, the limit; read faster or listen to "message"`,
      );
      this.end();
    }
  }

  /** Add no more items. The items in the queue can still be read. */
  end(): void {
    this._ended = true;
    for (const waiter of this._waiters.splice(0)) waiter(END);
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    const value = this._items.shift();
    if (value !== undefined) return { value, done: false };
    const error = this._error;
    this._error = null;
    if (error) throw error;
    if (this._ended) return END;
    return new Promise((resolve) => this._waiters.push(resolve));
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this._items = [];
    this.end();
    this._onReturn(this);
    return END;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
