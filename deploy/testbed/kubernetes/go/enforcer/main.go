// Makes NetworkPolicy objects hold on this node. It is kube-network-policies with one rule before its own: here the API
// server is the only one that knows which pod has an address, and it knows a second or two after the pod began to talk.
// Until then nothing passes from or to that address.
package main

import (
	"context"
	"flag"
	"net/netip"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/cmd"
	"sigs.k8s.io/kube-network-policies/pkg/dataplane"
	"sigs.k8s.io/kube-network-policies/pkg/network"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	"sigs.k8s.io/kube-network-policies/pkg/podinfo"
)

// queue is the netfilter queue that packets to be judged are sent to.
const queue = 100

// strangers denies the traffic of addresses of pods that no pod is known to have; the node's own is the first of them.
type strangers struct {
	pods netip.Prefix
	node netip.Addr
}

func (s strangers) verdict(ip []byte, pod *api.PodInfo) api.Verdict {
	address, ok := netip.AddrFromSlice(ip)
	address = address.Unmap()
	if ok && pod == nil && s.pods.Contains(address) && address != s.node {
		return api.VerdictDeny
	}
	return api.VerdictNext
}

func (s strangers) EvaluateIngress(_ context.Context, p *network.Packet, _, to *api.PodInfo) (api.Verdict, error) {
	return s.verdict(p.DstIP, to), nil
}

func (s strangers) EvaluateEgress(_ context.Context, p *network.Packet, from, _ *api.PodInfo) (api.Verdict, error) {
	return s.verdict(p.SrcIP, from), nil
}

func (s strangers) Name() string                                           { return "Strangers" }
func (s strangers) Ready() bool                                            { return true }
func (s strangers) SetDataplaneSyncCallback(api.SyncFunc)                  {}
func (s strangers) ManagedIPs(context.Context) ([]netip.Addr, bool, error) { return nil, true, nil }

func must[T any](value T, err error) T {
	if err != nil {
		klog.Fatal(err)
	}
	return value
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file with the API server's address and our certificate")
	node := flag.String("node", "", "this node's name")
	pods := flag.String("pods", "", "addresses of pods, as a prefix")
	klog.InitFlags(nil)
	flag.Parse()

	prefix := must(netip.ParsePrefix(*pods))
	clients := must(kubernetes.NewForConfig(must(clientcmd.BuildConfigFromFlags("", *kubeconfig))))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	factory := informers.NewSharedInformerFactory(clients, 0)
	core := factory.Core().V1()
	resolver := must(podinfo.NewInformerResolver(core.Pods().Informer()))
	known := podinfo.NewInformerProvider(core.Pods(), core.Namespaces(), nil, []podinfo.IPResolver{resolver})
	policies := factory.Networking().V1().NetworkPolicies()
	engine := networkpolicy.NewPolicyEngine(known, []api.PolicyEvaluator{
		strangers{prefix, prefix.Addr().Next()},
		networkpolicy.NewStandardNetworkPolicy(*node, core.Namespaces(), core.Pods(), policies),
	})
	factory.Start(ctx.Done())
	// Strict: established connections are judged again when a policy changes.
	cmd.Start(ctx, engine, dataplane.Config{QueueID: queue, StrictMode: true}, "127.0.0.1:9080")
	<-ctx.Done()
	time.Sleep(time.Second) // it takes its rules away meanwhile
}
