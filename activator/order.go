package activator

import (
	"net/http"
	"strings"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// maxClient is how much of a header tells clients apart. Longer values are cut, so
// that nobody fills the memory with them.
const maxClient = 128

// Order is how the requests of a route are told apart while they wait. A header
// says nothing unless the route names it.
type Order struct {
	client, priority string
	classes          map[string]Class
}

// NewOrder reads what a route says.
func NewOrder(q v1alpha1.RouteQueue) Order {
	o := Order{client: http.CanonicalHeaderKey(q.ClientHeader)}
	if p := q.Priority; p != nil {
		o.priority = http.CanonicalHeaderKey(p.Header)
		o.classes = map[string]Class{}
		for _, v := range p.High {
			o.classes[strings.ToLower(v)] = High
		}
		for _, v := range p.Low {
			o.classes[strings.ToLower(v)] = Low
		}
	}
	return o
}

// Who says whose request it is that came with the header from the address.
func (o Order) Who(h http.Header, addr string) Who {
	w := Who{Client: addr}
	if o.client != "" {
		if v := h[o.client]; len(v) > 0 && v[0] != "" {
			w.Client = strings.Clone(v[0][:min(len(v[0]), maxClient)])
		}
	}
	if o.priority != "" {
		if v := h[o.priority]; len(v) > 0 {
			w.Class = o.classes[strings.ToLower(strings.TrimSpace(v[0]))]
		}
	}
	return w
}
