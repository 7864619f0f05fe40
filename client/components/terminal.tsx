import { FitAddon } from "@xterm/addon-fit";
import { Terminal as Xterm } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { createEffect, onCleanup, onMount } from "solid-js";
import { makeLeaveDetector } from "../machine/screen-keys.ts";

export interface TerminalHandle {
  write(bytes: Uint8Array): void;
  clear(): void;
  focus(): void;
  size(): { columns: number; rows: number };
  /** Sends keys as if typed, for the bar of keys that phones lack. */
  type(text: string): void;
  /** The text on the screen now, for tests and for copying. */
  text(): string;
}

export interface TerminalProps {
  label: string;
  fontSize: number;
  screenReader: boolean;
  onInput(bytes: Uint8Array): void;
  /** Whole lines as they are printed, for the live region. */
  onReady(handle: TerminalHandle): void;
  /** Ctrl+Alt pressed twice: the person wants out. */
  onLeave(): void;
}

const encoder = new TextEncoder();

/** A terminal's binary strings hold one byte per character. */
const fromBinary = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** What the colours of look.css are now; the terminal draws on a canvas and cannot read them itself. */
function themeOf(element: HTMLElement) {
  const style = getComputedStyle(element);
  const value = (name: string) => style.getPropertyValue(name).trim();
  return {
    background: value("--screen"),
    foreground: value("--screen-text"),
    cursor: value("--screen-text"),
    selectionBackground: "#62b0ff66",
  };
}

/**
 * The serial console. Copy with the selection and Ctrl+Shift+C (or ⌘C), paste with Ctrl+Shift+V; plain Ctrl+C goes to
 * the guest.
 */
export function Terminal(props: TerminalProps) {
  let host!: HTMLDivElement;
  onMount(() => {
    const terminal = new Xterm({
      fontFamily: '"JetBrains Mono Variable", ui-monospace, monospace',
      fontSize: props.fontSize,
      scrollback: 5000,
      cursorBlink: false,
      screenReaderMode: props.screenReader,
      theme: themeOf(host),
      convertEol: false,
    });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(host);
    terminal.textarea?.setAttribute("aria-label", props.label);
    fit.fit();
    const leave = makeLeaveDetector(() => props.onLeave());
    terminal.attachCustomKeyEventHandler((event) => {
      leave(event);
      return !copies(event, terminal);
    });
    const subscriptions = [
      terminal.onData((text) => props.onInput(encoder.encode(text))),
      terminal.onBinary((text) => props.onInput(fromBinary(text))),
    ];
    const resized = new ResizeObserver(() => fit.fit());
    resized.observe(host);
    createEffect(() => {
      terminal.options.fontSize = props.fontSize;
      terminal.options.screenReaderMode = props.screenReader;
      fit.fit();
    });
    props.onReady(handleOf(terminal, (text) => props.onInput(encoder.encode(text))));
    onCleanup(() => {
      resized.disconnect();
      for (const subscription of subscriptions) subscription.dispose();
      terminal.dispose();
    });
  });
  return <div class="terminal" ref={host} />;
}

/** Copies the selection when that is what the keys ask for. */
function copies(event: KeyboardEvent, terminal: Xterm): boolean {
  const wanted =
    event.type === "keydown" && event.code === "KeyC" && ((event.ctrlKey && event.shiftKey) || event.metaKey);
  if (!wanted || !terminal.hasSelection()) return false;
  event.preventDefault();
  void navigator.clipboard?.writeText(terminal.getSelection());
  return true;
}

function handleOf(terminal: Xterm, type: (text: string) => void): TerminalHandle {
  return {
    write: (bytes) => terminal.write(bytes),
    clear: () => terminal.reset(),
    focus: () => terminal.focus(),
    size: () => ({ columns: terminal.cols, rows: terminal.rows }),
    type,
    text: () => {
      const buffer = terminal.buffer.active;
      const lines = Array.from(
        { length: buffer.length },
        (_, row) => buffer.getLine(row)?.translateToString(true) ?? "",
      );
      return lines.join("\n").trimEnd();
    },
  };
}
