/** The token, and where a fresh one comes from. */

/** A token, or a function that fetches a fresh one from the application. */
export type TokenSource = string | (() => string | Promise<string>);

export class Credentials {
  private _token: string | null;
  private _pending: Promise<string> | null = null;

  constructor(private readonly _source: TokenSource) {
    this._token = typeof _source === "string" ? _source : null;
  }

  /** Whether a fresh token can be had. */
  get renewable(): boolean {
    return typeof this._source === "function";
  }

  /** The token in hand, or a fresh one; rejects with what the function threw. */
  async get(): Promise<string> {
    return this._token ?? this.fresh();
  }

  /** A fresh token; callers at the same time share one fetch. */
  fresh(): Promise<string> {
    if (this._pending) return this._pending;
    const pending = this._fetch();
    this._pending = pending;
    pending.then(
      (token) => {
        if (this._settled(pending)) this._token = token;
      },
      () => this._settled(pending),
    );
    return pending;
  }

  /** Never use `token` again, if another can be had. */
  discard(token: string | null): void {
    if (this.renewable && token === this._token) this._token = null;
  }

  /** Wait no longer for a fetch that takes too long. */
  abandon(): void {
    this._pending = null;
  }

  /** Whether `pending` is still waited for, which ends with this. */
  private _settled(pending: Promise<string>): boolean {
    const current = this._pending === pending;
    if (current) this._pending = null;
    return current;
  }

  private async _fetch(): Promise<string> {
    const token: unknown = typeof this._source === "string" ? this._source : await this._source();
    if (typeof token === "string") return token;
    throw new TypeError(`token() gave ${token === null ? "null" : typeof token}; it must give a string`);
  }
}
