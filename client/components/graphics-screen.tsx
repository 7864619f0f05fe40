import { createSignal, onCleanup, onMount, Show } from "solid-js";
import type { Frame, MouseMove } from "#protocol/machine-messages";
import { makeScreenKeys } from "../machine/screen-keys.ts";
import { makeScreenMouse } from "../machine/screen-mouse.ts";
import { fitted } from "../machine/screen-size.ts";

export interface GraphicsScreenHandle {
  /** What has changed; shown with the next animation frame. */
  show(frame: Frame): void;
  readonly canvas: HTMLCanvasElement;
}

export interface GraphicsScreenProps {
  width: number;
  height: number;
  label: string;
  /** As large as there is room, or by whole numbers of this device's pixels. */
  scaling: "fit" | "whole";
  onReady(handle: GraphicsScreenHandle | undefined): void;
  /** There is room for one more frame. */
  onWant(whole: boolean): void;
  onKeys(scanCodes: Uint8Array): void;
  onMouse(move: MouseMove): void;
  onLeave(): void;
}

/** Puts frames on the canvas once per animation frame, and asks for the next one only then: a hidden page asks for none. */
function createPainter(canvas: () => HTMLCanvasElement, onWant: (whole: boolean) => void) {
  let waiting: Frame[] = [];
  let request = 0;
  const paint = (): void => {
    request = 0;
    const element = canvas();
    const context = element.getContext("2d", { alpha: false });
    for (const { width, height, bands } of waiting) {
      if (element.width !== width || element.height !== height) Object.assign(element, { width, height });
      for (const { first, pixels } of bands) context?.putImageData(new ImageData(pixels, width), 0, first);
    }
    waiting = [];
    onWant(false);
  };
  onCleanup(() => cancelAnimationFrame(request));
  return (frame: Frame): void => {
    waiting.push(frame);
    request ||= requestAnimationFrame(paint);
  };
}

/** The guest's screen in graphics: a canvas that takes the keys when it has the focus, and the mouse after a click. */
export function GraphicsScreen(props: GraphicsScreenProps) {
  let room!: HTMLDivElement;
  let canvas!: HTMLCanvasElement;
  const [size, setSize] = createSignal({ width: 0, height: 0 });
  const [captured, setCaptured] = createSignal(false);
  const show = createPainter(
    () => canvas,
    (whole) => props.onWant(whole),
  );
  const keys = makeScreenKeys({
    onKeys: (codes) => props.onKeys(codes),
    onLeave: () => {
      document.exitPointerLock();
      props.onLeave();
    },
  });
  let flushing = 0;
  const mouse = makeScreenMouse(
    (move) => props.onMouse(move),
    () => {
      flushing ||= requestAnimationFrame(() => {
        flushing = 0;
        mouse.flush();
      });
    },
  );

  onMount(() => {
    const resized = new ResizeObserver(([entry]) => entry && setSize(entry.contentRect));
    resized.observe(room);
    const onLock = (): void => {
      setCaptured(document.pointerLockElement === canvas);
      if (!captured()) mouse.release();
    };
    document.addEventListener("pointerlockchange", onLock);
    props.onReady({ show, canvas });
    props.onWant(true);
    onCleanup(() => {
      document.removeEventListener("pointerlockchange", onLock);
      resized.disconnect();
      cancelAnimationFrame(flushing);
      if (captured()) document.exitPointerLock();
      keys.release();
      props.onReady(undefined);
    });
  });

  function onMouseDown(event: MouseEvent): void {
    event.preventDefault();
    room.focus();
    if (captured()) mouse.button(event.button, true);
    // The click that gives the mouse away is the page's; a browser that refuses leaves it here.
    else void Promise.resolve(canvas.requestPointerLock()).catch(() => {});
  }
  function onTouchDown(event: PointerEvent): void {
    if (event.pointerType !== "touch") return;
    // Otherwise the browser makes a mouse of the finger too.
    event.preventDefault();
    room.focus();
    canvas.setPointerCapture(event.pointerId);
    mouse.fingerDown(event.pointerId, event.clientX, event.clientY, event.timeStamp);
  }
  const onTouchUp = (event: PointerEvent): void =>
    event.pointerType === "touch" ? mouse.fingerUp(event.pointerId, event.timeStamp) : undefined;

  const shown = () => fitted(props, size(), props.scaling, devicePixelRatio);
  return (
    <div
      ref={room}
      class="graphics-screen"
      tabIndex={0}
      role="application"
      aria-label={`${props.label}. Graphics screen ${props.width}×${props.height}`}
      onKeyDown={keys.handle}
      onKeyUp={keys.handle}
      onBlur={keys.release}
    >
      <canvas
        ref={canvas}
        classList={{ whole: props.scaling === "whole" }}
        style={{ width: `${shown().width}px`, height: `${shown().height}px` }}
        onPointerDown={onTouchDown}
        onPointerMove={(event) =>
          event.pointerType === "touch" && mouse.fingerMove(event.pointerId, event.clientX, event.clientY)
        }
        onPointerUp={onTouchUp}
        onPointerCancel={onTouchUp}
        onMouseDown={onMouseDown}
        onMouseMove={(event) => captured() && mouse.move(event.movementX, event.movementY)}
        onMouseUp={(event) => captured() && mouse.button(event.button, false)}
        on:wheel={{
          handleEvent: (event: WheelEvent) => {
            if (!captured()) return;
            event.preventDefault();
            mouse.wheel(event);
          },
          passive: false,
        }}
        onContextMenu={(event) => event.preventDefault()}
      />
      <p class="mouse-words" role="status">
        <Show when={captured()}>The mouse is in the machine. Escape gives it back.</Show>
      </p>
    </div>
  );
}
