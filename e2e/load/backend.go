package load

import "strconv"

// EventsPath is where the backend sends events.
const EventsPath = "/events"

// Answer is the backend's answer to a body of so many bytes: their number, as it
// has counted them, so that a client sees whether all have come. A GET gets "ok".
func Answer(body int) string {
	if body == 0 {
		return "ok"
	}
	return strconv.Itoa(body)
}
