/** The states of a connection, and the allowed transitions. */

export enum ConnectionState {
  /** Not connected. A timer or the reachability monitor starts the next attempt. */
  Waiting,
  /** Getting a token from the application. */
  Authorizing,
  /** From the start of the connection until the server's "open" frame. */
  Connecting,
  Open,
  Closed,
}

const TRANSITIONS: Readonly<Record<ConnectionState, readonly ConnectionState[]>> = {
  [ConnectionState.Waiting]: [ConnectionState.Authorizing, ConnectionState.Closed],
  [ConnectionState.Authorizing]: [
    ConnectionState.Connecting,
    ConnectionState.Waiting,
    ConnectionState.Closed,
  ],
  [ConnectionState.Connecting]: [ConnectionState.Open, ConnectionState.Waiting, ConnectionState.Closed],
  [ConnectionState.Open]: [ConnectionState.Waiting, ConnectionState.Closed],
  [ConnectionState.Closed]: [],
};

/** Throws if a connection in the state `from` may not enter the state `to`. */
export function assertTransition(from: ConnectionState, to: ConnectionState): void {
  if (!TRANSITIONS[from].includes(to)) throw new Error(`impossible transition: ${from} to ${to}`);
}
