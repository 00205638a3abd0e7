package deployer

import (
	"math"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	knativePrefix = "autoscaling.knative.dev/"
	// deadlineAnnotation is how long a revision may take to become ready.
	deadlineAnnotation = "serving.knative.dev/progress-deadline"
	// greatestDeadline and greatestTarget are the largest that a Scaler takes.
	greatestDeadline = 24 * time.Hour
	greatestTarget   = 1e9
)

// knative reads the autoscaling annotations found in existing manifests, in the
// present spelling (min-scale) and the former one (minScale). What cannot be read
// is ignored with a warning.
type knative struct{ w *workload }

// get returns an annotation, the name under which it was found, and whether it was.
func (k knative) get(key string) (name, text string, ok bool) {
	for _, name := range []string{knativePrefix + key, knativePrefix + camelCase(key)} {
		if text, ok := k.w.allAnnotations[name]; ok {
			return name, strings.TrimSpace(text), true
		}
	}
	return "", "", false
}

// camelCase turns min-scale into minScale.
func camelCase(key string) string {
	parts := strings.Split(key, "-")
	for i := 1; i < len(parts); i++ {
		if parts[i] != "" {
			parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
		}
	}
	return strings.Join(parts, "")
}

func (k knative) replicas(key string, least int32) *int32 {
	name, text, ok := k.get(key)
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < int64(least) {
		k.w.warn(annotationField(name), "%q is ignored; use a whole number of replicas, at least %d", text, least)
		return nil
	}
	v := int32(n)
	return &v
}

func (k knative) number(key string, least, greatest float64) (string, float64, bool) {
	name, text, ok := k.get(key)
	if !ok {
		return "", 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f < least || f > greatest {
		if greatest == math.MaxInt32 {
			k.w.warn(annotationField(name), "%q is ignored; use a number, at least %g", text, least)
		} else {
			k.w.warn(annotationField(name), "%q is ignored; use a number from %g to %g", text, least, greatest)
		}
		return "", 0, false
	}
	return name, f, true
}

// percent reads a percentage. Fractions of one are rounded up to a whole percent.
func (k knative) percent(key string, least, greatest float64) *int32 {
	_, f, ok := k.number(key, least, greatest)
	if !ok {
		return nil
	}
	p := int32(math.Ceil(f))
	return &p
}

// target reads the value that one replica is to carry, at least 0.01.
func (k knative) target() *resource.Quantity {
	_, f, ok := k.number("target", 0.01, greatestTarget)
	if !ok {
		return nil
	}
	q := resource.NewMilliQuantity(int64(math.Round(f*1000)), resource.DecimalSI)
	return q
}

func (k knative) burstCapacity() *int64 {
	name, f, ok := k.number("target-burst-capacity", -1, math.MaxInt32)
	if !ok {
		return nil
	}
	if f < 0 && f != -1 {
		k.w.warn(annotationField(name), "%g is ignored; use 0 or more, or -1 to have all requests pass the activators", f)
		return nil
	}
	n := int64(math.Ceil(f))
	return &n
}

func (k knative) duration(key string, least, greatest time.Duration) *time.Duration {
	name, text, ok := k.get(key)
	if !ok {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > greatest || d%time.Second != 0 {
		k.w.warn(annotationField(name), "%q is ignored; use whole seconds from %s to %s, for example 90s", text, least, greatest)
		return nil
	}
	return &d
}

// deadline reads how long a start may take.
func (k knative) deadline() *time.Duration {
	text, ok := k.w.allAnnotations[deadlineAnnotation]
	if !ok {
		return nil
	}
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil || d < time.Second {
		k.w.warn(annotationField(deadlineAnnotation), "%q is ignored; use a duration from 1s to 24h, for example 10m", text)
		return nil
	}
	if d > greatestDeadline {
		k.w.warn(annotationField(deadlineAnnotation), "%q is more than a start may take; 24h is used", text)
		d = greatestDeadline
	}
	d = d.Truncate(time.Second)
	return &d
}

// refuseAggregation says that only one way of averaging exists.
func (k knative) refuseAggregation() {
	const key = "metric-aggregation-algorithm"
	if name, text, ok := k.get(key); ok && text != "linear" {
		k.w.warn(annotationField(name), "%q is not supported and linear is used; remove the annotation", text)
	}
}
