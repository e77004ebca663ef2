/** @file Two connected ports in one thread, whose messages a test delivers one by one. */

import type { OwnerPort, Port } from '../../src/remote/protocol.ts';

type Listener = Parameters<Port['listen']>;

/** One direction of a connection. */
interface Direction {
  readonly port: Port;
  /** Messages on their way. */
  readonly waiting: unknown[];
  listener: Listener | undefined;
}

/** A connection between a caller and an end that serves. */
export interface PortPair {
  readonly caller: OwnerPort;
  readonly server: Port;
  /** Delivers the oldest message to an end, if there is one. Returns whether there was. */
  deliver(to: 'caller' | 'server'): boolean;
  /** Ends one end: the other hears of it, and messages on their way are lost. */
  kill(end: 'caller' | 'server'): void;
}

export function portPair(): PortPair {
  const towards: Record<'caller' | 'server', Direction> = {
    server: direction(() => towards.caller),
    caller: direction(() => towards.server),
  };
  function kill(end: 'caller' | 'server'): void {
    const left = end === 'caller' ? 'server' : 'caller';
    for (const { waiting } of Object.values(towards)) waiting.length = 0;
    towards[left].listener?.[1](new Error(`the ${end} died`));
  }
  return {
    caller: { ...towards.server.port, name: 'the other end', close: async () => kill('caller') },
    server: towards.caller.port,
    deliver(to) {
      const { waiting, listener } = towards[to];
      if (waiting.length === 0 || !listener) return false;
      listener[0](waiting.shift());
      return true;
    },
    kill,
  };
}

/** @param back the other direction */
function direction(back: () => Direction): Direction {
  const waiting: unknown[] = [];
  const port: Port = {
    send: (message, transfer = []) =>
      void waiting.push(structuredClone(message, { transfer: [...transfer] })),
    listen(...listener) {
      back().listener = listener;
    },
  };
  return { port, waiting, listener: undefined };
}
