/** The token in use, and how to get a new one. */

/** A token, or a function that fetches a new one from the application. */
export type TokenSource = string | (() => string | Promise<string>);

export class Credentials {
  private _token: string | null;
  private _pendingFetch: Promise<string> | null = null;

  constructor(private readonly _source: TokenSource) {
    this._token = typeof _source === "string" ? _source : null;
  }

  /** Whether a new token can be fetched. */
  get renewable(): boolean {
    return typeof this._source === "function";
  }

  /** The current token, or a new one if there is none. Rejects with what the token function threw. */
  async get(): Promise<string> {
    return this._token ?? this.refresh();
  }

  /** Fetch a new token. Concurrent calls share one fetch. */
  refresh(): Promise<string> {
    if (this._pendingFetch) return this._pendingFetch;
    const pending = this._fetch();
    this._pendingFetch = pending;
    const finish = (token: string | null) => {
      if (this._pendingFetch !== pending) return; // abandoned
      this._pendingFetch = null;
      this._token = token ?? this._token;
    };
    pending.then(finish, () => finish(null));
    return pending;
  }

  /** Do not use `token` again, if a new one can be fetched. */
  discard(token: string | null): void {
    if (this.renewable && token === this._token) this._token = null;
  }

  /** Ignore the result of a fetch that takes too long. */
  abandonFetch(): void {
    this._pendingFetch = null;
  }

  private async _fetch(): Promise<string> {
    const token: unknown = typeof this._source === "string" ? this._source : await this._source();
    if (typeof token === "string") return token;
    throw new TypeError(
      `token() returned ${token === null ? "null" : typeof token}; it must return a string`,
    );
  }
}
