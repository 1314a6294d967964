package bench

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/gobwas/ws"
)

// FuzzParseHeader compares with gobwas/ws, which reads the same header from a
// stream and has its own check.
func FuzzParseHeader(f *testing.F) {
	for _, b := range [][]byte{
		{0x82, 0x05}, {0x82, 0x7e, 0x00, 0x7e}, {0x82, 0x7e, 0x00, 0x05}, {0x82, 0x85}, {0x88, 0x7e, 0, 126},
		{0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0}, {0x82, 0x7f, 0x80, 0, 0, 0, 0, 1, 0, 0}, {0x09, 0}, {0xc2, 0}, {0x83, 0}, {},
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, gotErr := parseHeader(b, true)
		r := bytes.NewReader(b)
		want, wantErr := ws.ReadHeader(r)
		if errors.Is(wantErr, io.EOF) || errors.Is(wantErr, io.ErrUnexpectedEOF) {
			if gotErr == nil && got.size != 0 {
				t.Fatalf("% x: size %d of an incomplete header", b, got.size)
			}
			return // an early error is allowed
		}
		if wantErr == nil {
			// Fragment order is judged by the receiver, which has the state for it.
			state := ws.StateClientSide
			if want.OpCode == ws.OpContinuation {
				state |= ws.StateFragmented
			}
			begins := want.OpCode == ws.OpText || want.OpCode == ws.OpBinary
			if begins && want.Rsv == ws.Rsv(true, false, false) {
				state |= ws.StateExtended
			}
			wantErr = ws.CheckHeader(want, state)
		}
		if wantErr == nil && want.Masked {
			wantErr = ws.ErrProtocolMaskUnexpected
		}
		shortest := want.Length < 126 && b[1]&0x7f < 126 ||
			want.Length >= 126 && want.Length <= 0xffff && b[1]&0x7f == 126 || want.Length > 0xffff
		if wantErr == nil && !shortest {
			wantErr = ErrFrameLength // section 5.2; gobwas/ws does not look at it
		}
		if (gotErr != nil) != (wantErr != nil) {
			t.Fatalf("% x: error %v, gobwas/ws %v", b, gotErr, wantErr)
		}
		if gotErr == nil && (got.fin != want.Fin || got.op&^rsv1 != byte(want.OpCode) || int64(got.payload) != want.Length || (got.op&rsv1 != 0) != want.Rsv1() || got.size != len(b)-r.Len()) {
			t.Fatalf("% x: header %+v, gobwas/ws %+v", b, got, want)
		}
	})
}

func TestAppendFrame(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 9, 125, 126, 0xffff, 0x10000} {
		payload := bytes.Repeat([]byte("payload"), size/7+1)[:size]
		b := appendFrame([]byte("before"), OpBinary, 0xa1b2c3d4, payload)
		frame, err := ws.ReadFrame(bytes.NewReader(b[len("before"):]))
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if h := frame.Header; !h.Fin || !h.Masked || h.OpCode != ws.OpBinary || h.Mask != [4]byte{0xd4, 0xc3, 0xb2, 0xa1} {
			t.Errorf("%d bytes: header %+v", size, h)
		}
		if got := ws.UnmaskFrame(frame).Payload; !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: payload differs", size)
		}
		if want := len("before") + ws.HeaderSize(frame.Header) + size; len(b) != want {
			t.Errorf("%d bytes: frame of %d bytes, want %d", size, len(b), want)
		}
	}
}

func TestSendableCode(t *testing.T) {
	for code := range 6000 {
		want := ws.CheckCloseFrameData(ws.StatusCode(code), "") == nil && code < 5000
		// gobwas/ws refuses the reserved 1016-2999; a later specification may use them, so they are counted.
		if code >= 1012 && code <= 2999 && code != 1015 {
			want = true
		}
		if got := sendableCode(uint16(code)); got != want {
			t.Errorf("code %d: %v, want %v", code, got, want)
		}
	}
}
