package deployer

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// queueKnobs are the annotations that say how requests of a model wait, and for how
// long each part of them may take. An InferenceService has no fields for them; for
// the whole time of a request it has spec.predictor.timeout.
var queueKnobs = [...]struct {
	name   string
	remedy string
	set    func(*rawservev1alpha1.InferenceRouteSpec, string) bool
}{
	{
		"queue-max-requests", "use a whole number from 1 to 1000000",
		func(s *rawservev1alpha1.InferenceRouteSpec, text string) bool {
			n, err := strconv.ParseInt(text, 10, 32)
			s.Queue.MaxRequests = int32(n)
			return err == nil && n >= 1 && n <= 1e6
		},
	},
	{
		"queue-max-bytes", "use a quantity of bytes from 0 to 1Ti, such as 64Mi",
		func(s *rawservev1alpha1.InferenceRouteSpec, text string) bool {
			q, ok := queueBytes(text)
			s.Queue.MaxBytes = q
			return ok
		},
	},
	{
		"queue-client-header", "use the name of a request header that your gateway sets, such as X-User",
		func(s *rawservev1alpha1.InferenceRouteSpec, text string) bool {
			s.Queue.ClientHeader = text
			return headerName(text)
		},
	},
	{
		"queue-priority-header", "use the name of a request header that your gateway sets, such as X-Priority",
		func(s *rawservev1alpha1.InferenceRouteSpec, text string) bool {
			priority(s).Header = text
			return headerName(text)
		},
	},
	{
		"queue-priority-high", priorityRemedy,
		func(s *rawservev1alpha1.InferenceRouteSpec, text string) (ok bool) {
			priority(s).High, ok = priorityValues(text)
			return ok
		},
	},
	{
		"queue-priority-low", priorityRemedy,
		func(s *rawservev1alpha1.InferenceRouteSpec, text string) (ok bool) {
			priority(s).Low, ok = priorityValues(text)
			return ok
		},
	},
	{"queue-timeout", timeoutRemedy, func(s *rawservev1alpha1.InferenceRouteSpec, text string) bool {
		return routeTimeout(&s.Timeouts.Queue, text)
	}},
	{"first-byte-timeout", timeoutRemedy, func(s *rawservev1alpha1.InferenceRouteSpec, text string) bool {
		return routeTimeout(&s.Timeouts.FirstByte, text)
	}},
	{"idle-timeout", timeoutRemedy, func(s *rawservev1alpha1.InferenceRouteSpec, text string) bool {
		return routeTimeout(&s.Timeouts.Idle, text)
	}},
}

const (
	ownPrefix      = "rawserve.dev/"
	priorityRemedy = "use up to 16 different values of 64 characters at most, separated by commas, such as gold,silver"
	timeoutRemedy  = "use a duration from 1ms to 24h, such as 30s"

	maxPriorityValues = 16
	maxPriorityValue  = 64
	maxHeaderName     = 64
)

var maxQueueBytes = resource.MustParse("1Ti")

// readQueue reads the knobs. One that makes no sense is ignored with a warning, for
// it is no reason to take a model away.
func (w *workload) readQueue() error {
	var knobs rawservev1alpha1.InferenceRouteSpec
	for _, k := range queueKnobs {
		text, ok := w.allAnnotations[ownPrefix+k.name]
		if text = strings.TrimSpace(text); !ok || text == "" {
			continue
		}
		changed := knobs
		if p := knobs.Queue.Priority; p != nil {
			changed.Queue.Priority = p.DeepCopy()
		}
		if !k.set(&changed, text) {
			w.warn(annotationField(ownPrefix+k.name), "%q is ignored; %s", text, k.remedy)
			continue
		}
		knobs = changed
	}
	knobs.Queue.Priority = w.checkPriority(knobs.Queue.Priority)
	w.knobs = knobs
	w.warnUnknown()
	return nil
}

// warnUnknown tells of annotations under our prefix that nobody reads: a misspelt
// knob would otherwise look as if it had no effect.
func (w *workload) warnUnknown() {
	known := []string{zoneAnnotation}
	for _, k := range queueKnobs {
		known = append(known, ownPrefix+k.name)
	}
	for _, name := range slices.Sorted(maps.Keys(w.allAnnotations)) {
		if strings.HasPrefix(name, ownPrefix) && !slices.Contains(known, name) {
			w.warn(annotationField(name), "it is not known and has no effect; correct the name, which may be one of %s, or remove it", strings.Join(known, ", "))
		}
	}
}

// checkPriority returns nil where the three annotations do not make a whole.
func (w *workload) checkPriority(p *rawservev1alpha1.RoutePriority) *rawservev1alpha1.RoutePriority {
	if p == nil {
		return nil
	}
	switch {
	case p.Header == "":
		w.warn(annotationField(ownPrefix+"queue-priority-header"), "it is missing or ignored, and with it the values of queue-priority-high and queue-priority-low; name the request header that has them")
		return nil
	case len(p.High)+len(p.Low) == 0:
		w.warn(annotationField(ownPrefix+"queue-priority-header"), "it is ignored, because neither queue-priority-high nor queue-priority-low names a value; set one of them")
		return nil
	}
	for _, h := range p.High {
		for _, l := range p.Low {
			if strings.EqualFold(h, l) {
				w.warn(annotationField(ownPrefix+"queue-priority-low"), "all priorities are ignored, because %q is high as well; remove it from one of the two", l)
				return nil
			}
		}
	}
	return p
}

func priority(s *rawservev1alpha1.InferenceRouteSpec) *rawservev1alpha1.RoutePriority {
	if s.Queue.Priority == nil {
		s.Queue.Priority = &rawservev1alpha1.RoutePriority{}
	}
	return s.Queue.Priority
}

func priorityValues(text string) ([]string, bool) {
	var values []string
	seen := map[string]bool{}
	for v := range strings.SplitSeq(text, ",") {
		if v = strings.TrimSpace(v); v == "" {
			continue
		}
		if len(v) > maxPriorityValue || !headerValues.MatchString(v) || seen[strings.ToLower(v)] {
			return nil, false
		}
		seen[strings.ToLower(v)] = true
		values = append(values, v)
	}
	return values, len(values) > 0 && len(values) <= maxPriorityValues
}

// queueBytes reads a size. Of quantities it takes those that people write: an
// exponent of a hundred million keeps resource.Quantity busy for minutes, and one of
// four digits or a text of more than 64 characters is refused by the schema of
// InferenceRoute, and with it the whole route.
func queueBytes(text string) (*resource.Quantity, bool) {
	if !sizes.MatchString(text) {
		return nil, false
	}
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Cmp(maxQueueBytes) > 0 {
		return nil, false
	}
	// Anew, because a parsed one keeps the spelling; Value rounds up to whole bytes.
	return resource.NewQuantity(q.Value(), q.Format), true
}

// headerName holds a name to the schema of InferenceRoute.
func headerName(text string) bool {
	return len(text) <= maxHeaderName && headerNames.MatchString(text) && !slices.Contains(ofTheConnection, strings.ToLower(text))
}

var (
	// sizes is below 1e15 of the largest unit.
	sizes        = regexp.MustCompile(`^[0-9]{1,15}(\.[0-9]{1,3})?([KMGT]i|[kMGT])?$`)
	headerNames  = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]*$`)
	headerValues = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?$`)
	// ofTheConnection are fields that say nothing of who asks.
	ofTheConnection = []string{"connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)

func routeTimeout(to *metav1.Duration, text string) bool {
	d, err := time.ParseDuration(text)
	to.Duration = d
	return err == nil && d >= time.Millisecond && d <= 24*time.Hour
}
