package activator

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

func TestAHeaderSaysSomethingOnlyWhereTheRouteNamesIt(t *testing.T) {
	h := http.Header{"X-User": {"ada"}, "X-Priority": {" Gold "}}
	require.Equal(t, Who{Client: "10.0.0.1"}, NewOrder(v1alpha1.RouteQueue{}).Who(h, "10.0.0.1"))
	o := NewOrder(v1alpha1.RouteQueue{
		ClientHeader: "x-user",
		Priority:     &v1alpha1.RoutePriority{Header: "x-priority", High: []string{"gold"}, Low: []string{"Batch"}},
	})
	require.Equal(t, Who{Client: "ada", Class: High}, o.Who(h, "10.0.0.1"))
	require.Equal(t, Who{Client: "10.0.0.1", Class: Low}, o.Who(http.Header{"X-Priority": {"BATCH"}}, "10.0.0.1"))
	require.Equal(t, Who{Client: "10.0.0.1"}, o.Who(http.Header{"X-Priority": {"urgent"}, "X-User": {""}}, "10.0.0.1"))
	require.Len(t, o.Who(http.Header{"X-User": {strings.Repeat("a", 1000)}}, "").Client, maxClient)
}
