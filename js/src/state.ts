/** The states of a connection, and which may follow which. */

export enum State {
  /** Not connected; the timer ends it. */
  Waiting,
  /** The application is asked for a token. */
  Authorizing,
  /** From dialling to the server's first word. */
  Connecting,
  Open,
  Closed,
}

export const NEXT: Readonly<Record<State, readonly State[]>> = {
  [State.Waiting]: [State.Authorizing, State.Closed],
  [State.Authorizing]: [State.Connecting, State.Waiting, State.Closed],
  [State.Connecting]: [State.Open, State.Waiting, State.Closed],
  [State.Open]: [State.Waiting, State.Closed],
  [State.Closed]: [],
};
