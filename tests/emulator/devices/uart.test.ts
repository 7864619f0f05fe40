import { expect, test } from "vitest";
import { Uart, UART_QUEUE_BYTES } from "../../../emulator/devices/uart.ts";
import { BenchBoard } from "../../support/bench-board.ts";

const BASE = 0x3f8;

function bench() {
  const board = new BenchBoard();
  const sent: number[] = [];
  const uart = new Uart({
    ports: board.ports,
    base: BASE,
    irq: board.lines.wire(4),
    timers: board.timers,
    now: board.now,
    transmit: (byte) => sent.push(byte),
  });
  const type = (text: string): void => uart.receiveFromHost(new TextEncoder().encode(text));
  return {
    board,
    sent,
    type,
    read: (at: number) => board.in(BASE + at),
    write: (at: number, value: number) => board.out(BASE + at, value),
  };
}

test("the transmitter is always empty; the divisor latch hides it", () => {
  const { sent, read, write } = bench();
  expect(read(5)).toBe(0x60);
  write(0, 0x41);
  write(3, 0x83);
  write(0, 0x0c);
  write(1, 0x00);
  expect([read(0), read(1), read(3)]).toEqual([0x0c, 0, 0x83]);
  write(3, 0x03);
  write(0, 0x42);
  expect(sent).toEqual([0x41, 0x42]);
});

test("the transmitter's interrupt rises when enabled, falls when read, and rises again after a byte", () => {
  const { board, read, write } = bench();
  write(1, 0x02);
  expect([...board.edges, read(2), read(2)]).toEqual(["+4", 0x02, 0x01]);
  write(0, 0x41);
  expect(board.edges).toEqual(["+4", "-4", "+4"]);
  expect(read(2)).toBe(0x02);
});

test("received bytes interrupt: below the trigger level as a timeout, at it as data", () => {
  const { board, type, read, write } = bench();
  write(2, 0x81);
  write(1, 0x01);
  type("hello");
  expect([board.edges, read(2), read(5)]).toEqual([["+4"], 0xcc, 0x61]);
  type("xyz");
  board.pass(2_000_000);
  expect(read(2)).toBe(0xc4);
  expect(String.fromCharCode(...Array.from({ length: 8 }, () => read(0)))).toBe("helloxyz");
  expect([read(5), board.edges.at(-1), read(2)]).toEqual([0x60, "-4", 0xc1]);
});

test("a paste arrives 16 bytes at a time, and one that is too long is cut", () => {
  const { board, type, read } = bench();
  type("a".repeat(40));
  const drain = (): number => {
    let count = 0;
    while (read(5) & 1) count += read(0) === 0x61 ? 1 : 100;
    return count;
  };
  expect(drain()).toBe(16);
  expect(drain()).toBe(0);
  board.pass(1_400_000);
  expect(drain()).toBe(16);
  board.pass(1_400_000);
  expect(drain()).toBe(8);
  type("a".repeat(UART_QUEUE_BYTES + 1000));
  let total = 0;
  for (let i = 0; i < 5000; i++) {
    total += drain();
    board.pass(1_400_000);
  }
  expect(total).toBe(UART_QUEUE_BYTES);
});

test("loop mode turns the modem lines round, as Linux tests for", () => {
  const { sent, read, write } = bench();
  write(4, 0x1a);
  expect(read(6) & 0xf0).toBe(0x90);
  write(0, 0x55);
  expect([read(0), sent.length]).toEqual([0x55, 0]);
  write(4, 0x0b);
  expect(read(6) & 0xf0).toBe(0xb0);
});

test("the FIFO control register shows in IIR and clears the receiver; the scratch register keeps its byte", () => {
  const { type, read, write } = bench();
  expect(read(2)).toBe(0x01);
  type("abc");
  write(2, 0x07);
  expect([read(2), read(5)]).toEqual([0xc1, 0x60]);
  write(7, 0xa5);
  expect(read(7)).toBe(0xa5);
});
