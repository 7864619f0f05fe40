import { type Outcome, fail, ok } from "./failure.ts";
import { boundedUtf8, strictText, utf8, viewOf } from "./wire-bytes.ts";

/**
 * The messages of `virga-l2-v1` (infra/docs/virga-l2-v1.md): Ethernet over one WebSocket, batched, with credit and
 * resumption. Big endian. The state machine that speaks them is `l2-session.ts`.
 */
export const VIRGA_L2 = "virga-l2-v1";
export const l2Limits = {
  messageBytes: 65_536,
  frameMinBytes: 14,
  /** Four of them fill a message. What is longer than the MTU is one TCP segment that the receiver takes whole or cuts. */
  frameMaxBytes: 16_380,
  /** The first credit of a server, and everybody's window by default. */
  creditBytes: 1_048_576,
  /** No window is larger. */
  maxCreditBytes: 2 ** 20,
  noticeBytes: 4096,
  byeBytes: 256,
  /** A session without a socket is forgotten after this. */
  keepMs: 60_000,
} as const;

export const SESSION_BYTES = 16;
/** In HELLO: "I have no session, make one". */
export const NO_SESSION: Uint8Array = new Uint8Array(SESSION_BYTES);
const PING_BYTES = 8;
const LENGTH_BYTES = 2;
const FRAMES_HEADER_BYTES = 13;
const FRAMES_FIXED_BYTES = FRAMES_HEADER_BYTES - 1;

const types = { hello: 1, welcome: 2, frames: 3, ack: 4, ping: 5, pong: 6, notice: 7, bye: 8 } as const;

export const byeCodes = {
  protocolError: 1,
  credentials: 2,
  origin: 3,
  quota: 4,
  tooManyTunnels: 5,
  internetOff: 6,
  goingAway: 7,
  replaced: 8,
} as const;

/** How far the peer's frames have come, and what it may have sent in all: an ACK, and part of every FRAMES. */
export interface L2Ack {
  readonly received: number;
  readonly credit: number;
}

export type L2Message =
  | { readonly type: "hello"; readonly session: Uint8Array; readonly received: number }
  | {
      readonly type: "welcome";
      readonly session: Uint8Array;
      readonly resumed: boolean;
      readonly received: number;
      readonly credit: number;
      readonly mtu: number;
    }
  | ({ readonly type: "frames"; readonly first: number; readonly frames: readonly Uint8Array[] } & L2Ack)
  | ({ readonly type: "ack" } & L2Ack)
  | { readonly type: "ping"; readonly bytes: Uint8Array }
  | { readonly type: "pong"; readonly bytes: Uint8Array }
  | { readonly type: "notice"; readonly text: string }
  | { readonly type: "bye"; readonly code: number; readonly sentence: string };

/** What a frame takes of a message and of the credit: its two length bytes count. */
export const frameCost = (frame: Uint8Array): number => LENGTH_BYTES + frame.length;

const bad = (problem: string): Outcome<never> => fail({ code: "bad-request", problem });
/** The grammar of each type: lengths of the body, and how it is read. Views of frames and bytes share `body`'s memory. */
interface Grammar {
  readonly min: number;
  readonly max: number;
  read(body: Uint8Array, view: DataView): L2Message | string;
}
const readNotice = (body: Uint8Array): L2Message | string => {
  const text = strictText(body);
  return text === undefined ? "A notice is not UTF-8." : { type: "notice", text };
};
const readBye = (body: Uint8Array, view: DataView): L2Message | string => {
  const sentence = strictText(body.subarray(2));
  return sentence === undefined ? "A BYE is not UTF-8." : { type: "bye", code: view.getUint16(0), sentence };
};
const grammars: ReadonlyMap<number, Grammar> = new Map<number, Grammar>([
  [
    types.hello,
    {
      min: 20,
      max: 20,
      read: (body, view) => ({ type: "hello", session: body.slice(0, 16), received: view.getUint32(16) }),
    },
  ],
  [types.welcome, { min: 27, max: 27, read: readWelcome }],
  [
    types.frames,
    {
      min: FRAMES_FIXED_BYTES + LENGTH_BYTES + l2Limits.frameMinBytes,
      max: l2Limits.messageBytes - 1,
      read: readFrames,
    },
  ],
  [
    types.ack,
    {
      min: 8,
      max: 8,
      read: (_, view) => ({ type: "ack", ...readAck(view, 0) }),
    },
  ],
  [types.ping, { min: PING_BYTES, max: PING_BYTES, read: (body) => ({ type: "ping", bytes: body.slice() }) }],
  [types.pong, { min: PING_BYTES, max: PING_BYTES, read: (body) => ({ type: "pong", bytes: body.slice() }) }],
  [types.notice, { min: 2, max: l2Limits.noticeBytes, read: readNotice }],
  [types.bye, { min: 2, max: 2 + l2Limits.byeBytes, read: readBye }],
]);

function readWelcome(body: Uint8Array, view: DataView): L2Message | string {
  const resumed = view.getUint8(16);
  if (resumed > 1) return "A WELCOME is neither new nor resumed.";
  return {
    type: "welcome",
    session: body.slice(0, 16),
    resumed: resumed === 1,
    received: view.getUint32(17),
    credit: view.getUint32(21),
    mtu: view.getUint16(25),
  };
}

const readAck = (view: DataView, at: number): L2Ack => ({
  received: view.getUint32(at),
  credit: view.getUint32(at + 4),
});
function writeAck(view: DataView, at: number, { received, credit }: L2Ack): void {
  view.setUint32(at, received);
  view.setUint32(at + 4, credit);
}

function readFrames(body: Uint8Array, view: DataView): L2Message | string {
  const frames: Uint8Array[] = [];
  let at = FRAMES_FIXED_BYTES;
  while (at < body.length) {
    if (at + LENGTH_BYTES > body.length) return "A message ends inside the length of a frame.";
    const length = view.getUint16(at);
    at += LENGTH_BYTES;
    if (length < l2Limits.frameMinBytes || length > l2Limits.frameMaxBytes)
      return `A frame of ${length} bytes is not allowed.`;
    if (at + length > body.length) return "A message ends inside a frame.";
    frames.push(body.subarray(at, at + length));
    at += length;
  }
  return { type: "frames", first: view.getUint32(0), ...readAck(view, 4), frames };
}

/** Reads one binary message. Never throws, and allocates no more than the message's own size. */
export function decodeL2(message: Uint8Array): Outcome<L2Message> {
  if (message.length > l2Limits.messageBytes) return bad(`A message of ${message.length} bytes is too long.`);
  const grammar = grammars.get(message[0] ?? 0);
  if (!grammar) return bad(message.length === 0 ? "A message is empty." : `Type ${message[0]} is unknown.`);
  const body = message.subarray(1);
  if (body.length < grammar.min || body.length > grammar.max)
    return bad(`A message of type ${message[0]} cannot be ${message.length} bytes long.`);
  const read = grammar.read(body, viewOf(body));
  return typeof read === "string" ? bad(read) : ok(read);
}

/** A message whose body has this length; `write` fills the body. */
function make(
  type: number,
  bodyBytes: number,
  write: (body: Uint8Array, view: DataView) => void,
): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(1 + bodyBytes);
  message[0] = type;
  const body = message.subarray(1);
  write(body, viewOf(body));
  return message;
}

export const encodeL2 = {
  hello: (session: Uint8Array, received: number) =>
    make(types.hello, 20, (body, view) => {
      body.set(session);
      view.setUint32(16, received);
    }),
  welcome: (welcome: Omit<Extract<L2Message, { type: "welcome" }>, "type">) =>
    make(types.welcome, 27, (body, view) => {
      body.set(welcome.session);
      view.setUint8(16, welcome.resumed ? 1 : 0);
      view.setUint32(17, welcome.received);
      view.setUint32(21, welcome.credit);
      view.setUint16(25, welcome.mtu);
    }),
  /** The caller keeps the frames' costs within `framesRoom`. `into`: where the message is made, if not anew; 65,536 bytes. */
  frames: (
    first: number,
    ack: L2Ack,
    frames: readonly Uint8Array[],
    into?: Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> => {
    const bytes = frames.reduce((sum, frame) => sum + frameCost(frame), FRAMES_HEADER_BYTES);
    const message = into?.subarray(0, bytes) ?? new Uint8Array(bytes);
    const view = viewOf(message);
    message[0] = types.frames;
    view.setUint32(1, first);
    writeAck(view, 5, ack);
    let at = FRAMES_HEADER_BYTES;
    for (const frame of frames) {
      view.setUint16(at, frame.length);
      message.set(frame, at + LENGTH_BYTES);
      at += frameCost(frame);
    }
    return message;
  },
  ack: (ack: L2Ack) => make(types.ack, 8, (_, view) => writeAck(view, 0, ack)),
  ping: (bytes: Uint8Array) =>
    make(types.ping, PING_BYTES, (body) => body.set(bytes.subarray(0, PING_BYTES))),
  pong: (bytes: Uint8Array) =>
    make(types.pong, PING_BYTES, (body) => body.set(bytes.subarray(0, PING_BYTES))),
  /** Null: the text is empty or longer than a notice may be. */
  notice: (text: string): Uint8Array<ArrayBuffer> | null => {
    const bytes = utf8(text);
    if (bytes.length < 2 || bytes.length > l2Limits.noticeBytes) return null;
    return make(types.notice, bytes.length, (body) => body.set(bytes));
  },
  bye: (code: number, sentence: string) => {
    const bytes = boundedUtf8(sentence, l2Limits.byeBytes);
    return make(types.bye, 2 + bytes.length, (body, view) => {
      view.setUint16(0, code);
      body.set(bytes, 2);
    });
  },
} as const;

/** How many bytes of frames, counted by `frameCost`, one message holds. */
export const framesRoom: number = l2Limits.messageBytes - FRAMES_HEADER_BYTES;
