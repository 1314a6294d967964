package scenario_test

import (
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench/scenario"
)

func TestChurn(t *testing.T) {
	for _, how := range []string{"", scenario.LeaveClose, scenario.LeaveFIN, scenario.LeaveRST} {
		s := new(server).start(t)
		opt := options()
		opt.Duration, opt.Leave = 100*time.Millisecond, how
		r := play(t, t.Context(), scenario.NameChurn, 8, config(s), opt)
		passed(t, r)
		c := r.Parts[0].Churn
		if c.Handshakes <= 8 || c.Failed != 0 || c.Handshake.Count != c.Handshakes || c.PerSecond <= 0 {
			t.Errorf("leave %q: churn %+v, want every slot used more than once", how, c)
		}
		closed, cut := c.Handshakes, int64(0)
		if how == scenario.LeaveFIN || how == scenario.LeaveRST {
			closed, cut = cut, closed
		}
		if s.stop(); r.Closing.Answered != closed || int64(len(s.codes)) != closed || int64(len(s.ends)) != cut {
			t.Errorf("leave %q: %d closes answered, the server saw %d close frames and %d ends without; want %d and %d",
				how, r.Closing.Answered, len(s.codes), len(s.ends), closed, cut)
		}
	}
}

func TestChurnAtARate(t *testing.T) {
	opt := options()
	opt.Duration, opt.Rate = 100*time.Millisecond, pace(t, "100/s")
	cfg, start := config(new(server).start(t)), time.Now()
	r := play(t, t.Context(), scenario.NameChurn, 8, cfg, opt)
	passed(t, r)
	most := int64(time.Since(start).Seconds()*100) + 1 // a slow machine only takes longer
	if c := r.Parts[0].Churn; c.Handshakes < 1 || c.Handshakes > most {
		t.Errorf("%d handshakes, want 1 to %d", c.Handshakes, most)
	}
}

func TestChurnCountsFailures(t *testing.T) {
	s := new(server)
	refuse := answer("HTTP/1.1 503 Service Unavailable\r\n\r\n", false)
	s.handshake = afterDrop(20, refuse)
	opt := options() // no duration: until it gives up
	r := play(t, t.Context(), scenario.NameChurn, 4, config(s.start(t)), opt)
	failedWith(t, r, "handshakes failed")
	failedWith(t, r, "gave up connecting")
	if c := r.Parts[0].Churn; c.Handshakes != 20 || c.Failed < 100 {
		t.Errorf("churn %+v, want 20 handshakes and 100 failures", c)
	}
	if s.stop(); len(s.codes) != 20 || s.codes[0] != ws.StatusNormalClosure {
		t.Errorf("closed with %v, want 1000 of 20", s.codes)
	}
}
